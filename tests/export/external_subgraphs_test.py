"""Constants of subgraphs that lie beside the model file are found there by onnx and by ONNX Runtime.

usage: external_subgraphs_test.py ONNX_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.models import model_of
from support.onnx_runtime import session

RANDOM = np.random.default_rng(8)
WIDTH = 301


def constant(name, *dims):
    return numpy_helper.from_array(RANDOM.standard_normal(dims).astype(np.float32), name)


def value(name, kind, *dims):
    return helper.make_tensor_value_info(name, kind, dims)


def branch(op, name):
    return helper.make_graph([helper.make_node(op, ["h", name], [f"{name}_out"])], name, [],
                             [value(f"{name}_out", TensorProto.FLOAT, WIDTH)], [constant(name, WIDTH)])


def looped():
    """A Loop whose body chooses by an If: constants on both levels, one of them small."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes_on"]),
         helper.make_node("Mul", ["before", "w"], ["h"]),
         helper.make_node("Mod", ["turn", "two"], ["odd"]),
         helper.make_node("Cast", ["odd"], ["is_odd"], to=TensorProto.BOOL),
         helper.make_node("If", ["is_odd"], ["after"], then_branch=branch("Add", "a"), else_branch=branch("Sub", "b"))],
        "body",
        [value("turn", TensorProto.INT64), value("going", TensorProto.BOOL), value("before", TensorProto.FLOAT, WIDTH)],
        [value("goes_on", TensorProto.BOOL), value("after", TensorProto.FLOAT, WIDTH)],
        [constant("w", WIDTH), numpy_helper.from_array(np.array(2, np.int64), "two")])
    return model_of([helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body)], [("x", [WIDTH])],
                    [("y", [WIDTH])], {"turns": np.array(3, np.int64)}, opset=17)


def scanned():
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "row"], ["sum"]),
         helper.make_node("Mul", ["sum", "v"], ["next"]),
         helper.make_node("Identity", ["next"], ["out"])],
        "body", [value("state", TensorProto.FLOAT, WIDTH), value("row", TensorProto.FLOAT, WIDTH)],
        [value("next", TensorProto.FLOAT, WIDTH), value("out", TensorProto.FLOAT, WIDTH)], [constant("v", WIDTH)])
    return model_of([helper.make_node("Scan", ["first", "x"], ["last", "y"], body=body, num_scan_inputs=1)],
                    [("x", [4, WIDTH])], [("y", [4, WIDTH])], {"first": RANDOM.standard_normal(WIDTH)}, opset=17)


def tensors(graph):
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from tensors(attribute.g)


class ExternalSubgraphs(unittest.TestCase):
    def check(self, model, outside, inside):
        with tempfile.TemporaryDirectory() as temporary:
            before, after = (pathlib.Path(temporary) / name for name in ("before.onnx", "after.onnx"))
            onnx.save(model, before)
            subprocess.run([tool, "external", before, after, "1"], check=True)
            stored = {t.name: t.data_location == TensorProto.EXTERNAL
                      for t in tensors(onnx.load(str(after), load_external_data=False).graph)}
            self.assertEqual(stored, {**dict.fromkeys(outside, True), **dict.fromkeys(inside, False)})
            onnx.checker.check_model(str(after), full_check=True)
            for tensor in tensors(onnx.load(str(after)).graph):
                source = next(t for t in tensors(model.graph) if t.name == tensor.name)
                np.testing.assert_array_equal(numpy_helper.to_array(tensor), numpy_helper.to_array(source))
            x = RANDOM.standard_normal([d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim])
            feeds = {"x": x.astype(np.float32)}
            for optimize in (False, True):
                expected = session(before, optimize=optimize).run(["y"], feeds)[0]
                np.testing.assert_array_equal(session(after, optimize=optimize).run(["y"], feeds)[0], expected)

    def test_branches_within_a_loop(self):
        self.check(looped(), ["w", "a", "b"], ["two", "turns"])

    def test_scan(self):
        self.check(scanned(), ["v", "first"], [])


if __name__ == "__main__":
    tool = sys.argv.pop(1)
    unittest.main()

"""Networks with QuantizeLinear and DequantizeLinear as quantizers write them, and what their conversion is compared by."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from support.command_test import SEED, CommandTest


def run_plainly(path, feeds):
    """The nodes one by one: ONNX Runtime's own integer kernels round differently. It refuses the attribute `axis` that
    its quantizer writes below opset 13."""
    model = onnx.load(str(path))
    for domain in model.opset_import:
        if domain.domain == "":
            domain.version = max(domain.version, 13)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)


def layers_by_name(path):
    model = onnx.load(str(path))
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    return model, constants, {n.name: n for n in model.graph.node}


class Pairs:
    """A network of nodes with quantization in between, written as a quantizer would."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], f"{name}_{op}", **attributes))
        return name

    def pair(self, x, scale, zero, back=None):
        s, z = self.constant(f"{x}_s", np.float32(scale)), self.constant(f"{x}_z", zero)
        b = s if back is None else self.constant(f"{x}_b", np.float32(back))
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, s, z], f"{x}_q"), b, z], f"{x}_dq")

    def stored(self, name, integers, scale, **attributes):
        q = self.constant(f"{name}_q", integers)
        s = self.constant(f"{name}_s", np.float32(scale))
        z = self.constant(f"{name}_z", np.zeros(np.shape(scale), integers.dtype))
        return self.node("DequantizeLinear", [q, s, z], f"{name}_dq", **attributes)

    def save(self, path, inputs, outputs, opset=13):
        graph = helper.make_graph(
            self.nodes, "qat", [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
            [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))


class QatTest(CommandTest):
    def convert(self, model, *extra, out="b/qat"):
        return self.run_json("convert", model, "--out", self.work / out, *extra), self.work / out

    def same(self, m, inputs, output, shape, out, opset=13, quantized=1):
        """Converts the network and compares every bit of the output."""
        path = self.work / f"{out}.onnx"
        m.save(path, inputs, [(output, TensorProto.FLOAT, shape)], opset)
        report, prefix = self.convert(path, out=f"s/{out}")
        self.assertEqual(report["quantized"], quantized, report["kept_float"])
        rng = np.random.default_rng(SEED + 5)
        feeds = {n: rng.normal(0, 2, s).astype(np.float32) for n, s in inputs}
        np.testing.assert_array_equal(run_plainly(f"{prefix}_fake_quant_model.onnx", feeds)[0],
                                      run_plainly(path, feeds)[0])
        return report, layers_by_name(f"{prefix}_deploy_model.onnx")

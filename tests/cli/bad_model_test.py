"""Faulty models: every command says what, where and what to do in one line, exits 1 or 2 and writes nothing."""

import os
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.assets import needs_assets
from support.command_test import CommandTest, small_network


class BadModel(CommandTest):
    def refused(self, *says, model=None):
        """By inspect, and by quantize without a file left."""
        model = model or self.model
        self.fails("inspect", model, says=[model.name, *says])
        out = self.work / "out"
        self.fails("quantize", model, "--data", self.data, "--out", out / "small", says=[model.name, *says])
        self.assertFalse(out.exists())

    def test_files_that_are_no_model(self):
        contents = (b"", b"\0", b"hello world, this is text", b"PK\x03\x04 a zip file", b"\x89PNG\r\n\x1a\n",
                    b"\x93NUMPY\x01\x00", b"<html>", os.urandom(2000), bytes(2000))
        for content in contents:
            self.model.write_bytes(content)
            self.refused()
        self.refused(model=self.work / "missing.onnx")
        self.fails("inspect", self.work, says=[str(self.work)])

    def test_cut_at_any_byte(self):
        content = self.model.read_bytes()
        for size in range(0, len(content), 97):
            self.model.write_bytes(content[:size])
            self.fails("inspect", self.model, says=["small.onnx"])

    def test_real_models_cut_at_every_997th_byte(self):
        networks = needs_assets(self) / "onnx"
        cut = self.work / "cut.onnx"
        for name in ("resnet8_cifar10.onnx", "mnist_cntk.onnx", "mobilenet_v1_025.onnx"):
            content = (networks / name).read_bytes()
            sizes = range(997, len(content), 997)
            for size in sizes[:: max(1, len(sizes) // 25)]:
                cut.write_bytes(content[:size])
                self.fails("inspect", cut, says=["cut.onnx"])

    def edit(self, change):
        small_network(self.model)
        model = onnx.load(str(self.model))
        change(model)
        self.model.write_bytes(model.SerializeToString())

    def test_graphs_that_are_none(self):
        def cycle(model):
            model.graph.node[2].input[0] = "a1"

        def twice(model):
            model.graph.node[6].output[0] = "d1"

        def undefined(model):
            model.graph.node[4].input[0] = "nowhere"

        def no_output(model):
            model.graph.output[0].name = "nowhere"

        self.edit(cycle)
        self.refused("cycle")
        self.edit(twice)
        self.refused("d1")
        self.edit(undefined)
        self.refused("nowhere")
        self.edit(no_output)
        self.refused("nowhere")
        self.edit(lambda model: model.graph.node[2].input.append("x"))
        self.refused("relu1")
        self.edit(lambda model: model.graph.ClearField("output"))
        self.refused("output")
        self.edit(lambda model: model.ClearField("graph"))
        self.refused()

    def test_tensors_that_are_none(self):
        def change_weight(change):
            self.edit(lambda model: change(model.graph.initializer[0]))
            self.refused("conv1.weight")

        def extents(*dims):
            def change(tensor):
                tensor.ClearField("dims")
                tensor.dims.extend(dims)
            return change

        for dims in ((9, 3, 3, -3), (1 << 62, 1 << 62), (9, 3, 3, 4), (9, 3, 3, 2), (1 << 40, 1 << 20)):
            change_weight(extents(*dims))
        change_weight(lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]))
        change_weight(lambda tensor: setattr(tensor, "data_type", 99))
        self.edit(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", -3))
        self.refused("'x'")

    def test_shapes_that_do_not_fit(self):
        small_network(self.model, weights={"conv1.weight": np.zeros((9, 4, 3, 3))})
        self.refused("conv1")
        small_network(self.model, weights={"fc.bias": np.zeros(6)})
        self.refused("fc")

    def external(self, **entries):
        def change(model):
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))

        self.edit(change)

    def test_external_data(self):
        weight = numpy_helper.to_array(onnx.load(str(self.model)).graph.initializer[0])
        inner = self.work / "models"
        inner.mkdir()
        self.model = inner / "small.onnx"
        for path in (self.work / "outside.bin", inner / "w.bin"):
            path.write_bytes(weight.tobytes())
        (inner / "link.bin").symlink_to(self.work / "outside.bin")
        self.external(location="w.bin", offset=0, length=weight.nbytes)
        self.run_amct("inspect", self.model)
        for entries in ({"location": "gone.bin"}, {"location": "../outside.bin"}, {"location": "link.bin"},
                        {"location": str(self.work / "outside.bin")}, {"location": "sub/../../outside.bin"},
                        {"location": "w.bin", "offset": weight.nbytes}, {"location": "w.bin", "offset": -4},
                        {"location": "w.bin", "offset": 2**64 - 4, "length": weight.nbytes},
                        {"location": "w.bin", "length": weight.nbytes + 4}, {"location": "w.bin", "length": 4},
                        {"location": "w.bin", "offset": "a few"}, {"location": ""}, {"location": "."}, {}):
            with self.subTest(entries=entries):
                self.external(**entries)
                self.refused("conv1.weight")

    def test_sequences_are_not_computed_with(self):
        tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
        values = [helper.make_value_info(name, helper.make_sequence_type_proto(tensor)) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(self.model))
        out = self.work / "results"
        self.fails("run", self.model, "--input", f"x={self.data}", "--out", out, code=2, says=["'x'", "sequence"])
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()

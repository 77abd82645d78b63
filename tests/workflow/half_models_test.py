"""Models in float16: statistics in float32, files in float16, what stays float by name."""

import json
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.assets import needs_assets
from support.command_test import SEED, CommandTest, small_network
from support.half_model import to_half
from support.model_data import data_for, model as asset, session


def sqnr(reference, other):
    reference, other = reference.astype(np.float64), other.astype(np.float64)
    return 10 * np.log10(np.sum(reference**2) / max(np.sum((reference - other) ** 2), 1e-30))


class HalfCase(CommandTest):
    def check_file(self, path, feeds, half, bound):
        """A valid file that takes and gives float16, and computes in ONNX Runtime what amct computes."""
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=True)
        for value in (*model.graph.input, *model.graph.output):
            self.assertEqual(value.type.tensor_type.elem_type, TensorProto.FLOAT16, value.name)
        theirs = session(path).run(None, feeds)[0]
        self.assertEqual(theirs.dtype, np.float16)
        (name, x), = feeds.items()
        np.save(self.work / "x.npy", x)
        self.run_amct("run", path, "--input", f"{name}={self.work / 'x.npy'}", "--out", self.work / "y", "--exact")
        ours = np.load(self.work / "y" / f"{model.graph.output[0].name}.npy".replace("/", "_"))
        self.assertGreater(sqnr(theirs, ours), 25)
        self.assertGreater(sqnr(session(half).run(None, feeds)[0], theirs), bound)

    def plan(self, prefix):
        return {layer["name"]: layer for layer in json.loads((self.work / f"{prefix}_plan.json").read_text())["layers"]}

    def check_factors(self, wide, narrow):
        """Statistics are those of float32, but for what rounding to float16 changes in the data."""
        for name, layer in self.plan(wide).items():
            other = self.plan(narrow)[name]["activation"]
            self.assertAlmostEqual(layer["activation"]["scale"] / other["scale"], 1, delta=0.03, msg=name)
            self.assertLessEqual(abs(layer["activation"]["offset"] - other["offset"]), 3, name)



class HalfModels(HalfCase):
    def test_small_network(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        self.quantize(out="wide")
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "narrow")
        self.check_factors("wide", "narrow")
        feeds = {"x": self.samples[:3].astype(np.float16)}
        for suffix in ("fake_quant_model", "qdq"):
            self.check_file(self.work / f"narrow_{suffix}.onnx", feeds, half, 20)
        deploy = onnx.load(str(self.work / "narrow_deploy_model.onnx"))
        types = {attribute.i for node in deploy.graph.node if node.op_type == "AscendDequant"
                 for attribute in node.attribute if attribute.name == "dtype"}
        self.assertEqual(types, {1})

    def test_scales_and_biases_are_float16(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q")
        model = onnx.load(str(self.work / "q_qdq.onnx"))
        self.assertEqual(model.opset_import[0].version, 19)
        constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        for name, values in constants.items():
            if name.endswith(".scale"):
                self.assertEqual(values.dtype, np.float16, name)
                self.assertTrue((values > 0).all(), name)
        self.assertNotIn(np.int32, {values.dtype.type for values in constants.values()})

    def test_tiny_weights_keep_a_scale(self):
        small_network(self.model, weights={"pw.weight": np.full((9, 9, 1, 1), 2e-7)})
        half = self.work / "half.onnx"
        to_half(self.model, half)
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q")
        scales = next(numpy_helper.to_array(item) for item in onnx.load(str(self.work / "q_qdq.onnx")).graph.initializer
                      if item.name == "pw.weight.scale")
        self.assertTrue((scales > 0).all())

    def test_other_targets_and_widths(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        feeds = {"x": self.samples[:3].astype(np.float16)}
        for extra in (("--qdq-target", "tensorrt"), ("--qdq-target", "openvino"), ("--activation-bits", 16)):
            with self.subTest(extra=extra):
                self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q", *extra)
                self.check_file(self.work / "q_qdq.onnx", feeds, half, 20)

    def test_groups_of_weights(self):
        rng = np.random.default_rng(SEED)
        weight = numpy_helper.from_array(rng.normal(0, 0.3, (64, 6)).astype(np.float16), "w")
        graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], "g",
                                  [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 64])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["N", 6])], [weight])
        half = self.work / "matrix.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(half))
        samples = rng.normal(0, 1, (16, 64)).astype(np.float32)
        np.save(self.data, samples)
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q", "--weight-group", 32,
                      "--weight-bits", 4)
        for suffix in ("fake_quant_model", "qdq"):
            self.check_file(self.work / f"q_{suffix}.onnx", {"x": samples.astype(np.float16)}, half, 17)

    def test_pools_stay_float_by_name(self):
        nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
                 helper.make_node("AveragePool", ["c"], ["y"], "pool", kernel_shape=[2, 2])]
        weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float16) / 4, "w")
        graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["N", 3, 12, 10])],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["N", 4, 11, 9])], [weight])
        half = self.work / "pool.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(half))
        report = self.run_json("quantize", half, "--data", self.data, "--out", self.work / "p")
        self.assertEqual(report["kept_float"], [{"layer": "pool", "reason": "it has no weight and computes in float16"}])
        feeds = {"x": self.samples[:2].astype(np.float16)}
        for suffix in ("fake_quant_model", "qdq"):
            self.check_file(self.work / f"p_{suffix}.onnx", feeds, half, 20)

    def test_types_that_are_not_quantized(self):
        for dtype, name in ((np.float64, "float64"),):
            weight = numpy_helper.from_array(np.ones((4, 3, 1, 1), dtype), "w")
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"], "conv")], "g",
                                      [helper.make_tensor_value_info("x", kind, ["N", 3, 12, 10])],
                                      [helper.make_tensor_value_info("y", kind, ["N", 4, 12, 10])], [weight])
            path = self.work / "wide.onnx"
            onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
            report = self.run_json("quantize", path, "--data", self.data, "--out", self.work / "p")
            self.assertEqual(report["kept_float"],
                             [{"layer": "conv", "reason": f"its input is {name}, neither float32 nor float16"}])


class RealModels(HalfCase):
    MODELS = (("mobilenet_v1_025", 18, 17), ("resnet8_cifar10", 24, 22))

    def setUp(self):
        super().setUp()
        needs_assets(self)

    def test_networks(self):
        for name, fake_bound, qdq_bound in self.MODELS:
            with self.subTest(model=name):
                item, half = asset(name), self.work / f"{name}.onnx"
                to_half(item.path, half)
                data = data_for(item, self.work)
                wide = self.run_json("quantize", item.path, *data, "--out", self.work / "wide")
                narrow = self.run_json("quantize", half, *data, "--out", self.work / "narrow")
                self.check_factors("wide", "narrow")
                self.assertEqual(narrow["quantized"], wide["quantized"])
                self.assertGreater(narrow["sqnr_db"], wide["sqnr_db"] - 2)
                result = self.run_json("compare", half, self.work / "narrow_qdq.onnx", *data, "--samples", 16)
                print(f"{name}: fake-quant {narrow['sqnr_db']:.1f} dB (float32 {wide['sqnr_db']:.1f} dB), "
                      f"QDQ {result['logit_sqnr_db']:.1f} dB")
                self.assertGreater(narrow["sqnr_db"], fake_bound)
                self.assertGreater(result["logit_sqnr_db"], qdq_bound)


if __name__ == "__main__":
    unittest.main()

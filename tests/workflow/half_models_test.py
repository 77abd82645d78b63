"""Models in float16: statistics in float32, files in float16, what stays float by name."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.assets import needs_assets
from support.command_test import SEED, CommandTest, small_network
from support.half_model import to_half
from support.measures import sqnr
from support.model_data import data_for, model as asset
from support.models import constants_of, save_model
from support.onnx_runtime import session
from support.program import run_model
from support.quantized_parts import QuantizedParts, agree


class HalfCase(CommandTest):
    def check_file(self, path, feeds, half, bound, wide=False):
        """A valid file that takes and gives float16, and computes in ONNX Runtime what amct computes: the same integers, but for
        few next to an edge; of 16 bits (`wide`), whose quanta are smaller than the steps of float16, the same output."""
        model = onnx.load(str(path))
        onnx.checker.check_model(model, full_check=True)
        for value in (*model.graph.input, *model.graph.output):
            self.assertEqual(value.type.tensor_type.elem_type, TensorProto.FLOAT16, value.name)
        theirs = session(path, optimize=False).run(None, feeds)[0]
        self.assertEqual(theirs.dtype, np.float16)
        if wide:
            ours, = run_model(path, feeds, "--exact").values()
            self.assertGreater(sqnr(theirs, ours), 60)
        else:
            count = QuantizedParts(path).compare(feeds, "--exact")
            self.assertTrue(agree(count, 0.005, output=0.002), count)
        self.assertGreater(sqnr(session(half).run(None, feeds)[0], theirs), bound)

    def check_factors(self, model, half, *data, within=0.002):
        """Ranges are those of float32, but for what rounding to float16 changes in the data."""
        for path, out in ((model, "wide"), (half, "narrow")):
            self.run_amct("quantize", path, *data, "--search", "min_max", "--out", self.work / out)
        narrow = self.layers("narrow")
        for name, layer in self.layers("wide").items():
            ours, other = layer["activation"], narrow[name]["activation"]
            self.assertAlmostEqual(ours["scale"] / other["scale"], 1, delta=within, msg=name)
            self.assertLessEqual(abs(ours["offset"] - other["offset"]), max(1, 128 * within), name)


class HalfModels(HalfCase):
    def test_small_network(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        self.check_factors(self.model, half, "--data", self.data)
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "narrow")
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
        self.assertEqual(onnx.load(str(self.work / "q_qdq.onnx")).opset_import[0].version, 19)
        constants = constants_of(self.work / "q_qdq.onnx")
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
        self.assertTrue((constants_of(self.work / "q_qdq.onnx")["pw.weight.scale"] > 0).all())

    def test_other_targets_and_widths(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        feeds = {"x": self.samples[:3].astype(np.float16)}
        for extra in (("--qdq-target", "tensorrt"), ("--qdq-target", "openvino"), ("--activation-bits", 16)):
            with self.subTest(extra=extra):
                self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q", *extra)
                self.check_file(self.work / "q_qdq.onnx", feeds, half, 20, wide=16 in extra)

    def test_groups_of_weights(self):
        rng = np.random.default_rng(SEED)
        half = self.work / "matrix.onnx"
        save_model(half, [helper.make_node("MatMul", ["x", "w"], ["y"], "product")], [("x", ["N", 64], TensorProto.FLOAT16)],
                   [("y", ["N", 6], TensorProto.FLOAT16)], {"w": rng.normal(0, 0.3, (64, 6)).astype(np.float16)})
        samples = rng.normal(0, 1, (16, 64)).astype(np.float32)
        np.save(self.data, samples)
        self.run_amct("quantize", half, "--data", self.data, "--out", self.work / "q", "--weight-group", 32,
                      "--weight-bits", 4)
        for suffix in ("fake_quant_model", "qdq"):
            self.check_file(self.work / f"q_{suffix}.onnx", {"x": samples.astype(np.float16)}, half, 17)

    def test_pools_stay_float_by_name(self):
        nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
                 helper.make_node("AveragePool", ["c"], ["y"], "pool", kernel_shape=[2, 2])]
        half = self.work / "pool.onnx"
        save_model(half, nodes, [("x", ["N", 3, 12, 10], TensorProto.FLOAT16)], [("y", ["N", 4, 11, 9], TensorProto.FLOAT16)],
                   {"w": np.ones((4, 3, 1, 1), np.float16) / np.float16(4)})
        report = self.run_json("quantize", half, "--data", self.data, "--out", self.work / "p")
        self.assertEqual(report["kept_float"], [{"layer": "pool", "reason": "it has no weight and computes in float16"}])
        feeds = {"x": self.samples[:2].astype(np.float16)}
        for suffix in ("fake_quant_model", "qdq"):
            self.check_file(self.work / f"p_{suffix}.onnx", feeds, half, 20)

    def test_types_that_are_not_quantized(self):
        path = self.work / "wide.onnx"
        nodes = [helper.make_node("Cast", ["v"], ["w"], to=TensorProto.DOUBLE),
                 helper.make_node("Conv", ["x", "w"], ["y"], "conv")]
        save_model(path, nodes, [("x", ["N", 3, 12, 10], TensorProto.DOUBLE)], [("y", ["N", 4, 12, 10], TensorProto.DOUBLE)],
                   {"v": np.ones((4, 3, 1, 1))})
        report = self.run_json("quantize", path, "--data", self.data, "--out", self.work / "p")
        self.assertEqual(report["kept_float"],
                         [{"layer": "conv", "reason": "its input is float64, neither float32 nor float16"}])


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
                self.check_factors(item.path, half, *data, "--samples", 16, within=0.02)  # folded weights in float16 too
                wide = self.run_json("quantize", item.path, *data, "--out", self.work / "wide")
                narrow = self.run_json("quantize", half, *data, "--out", self.work / "narrow")
                self.assertEqual(narrow["quantized"], wide["quantized"])
                self.assertGreater(narrow["sqnr_db"], wide["sqnr_db"] - 2)
                result = self.run_json("compare", half, self.work / "narrow_qdq.onnx", *data, "--samples", 16)
                print(f"{name}: fake-quant {narrow['sqnr_db']:.1f} dB (float32 {wide['sqnr_db']:.1f} dB), "
                      f"QDQ {result['logit_sqnr_db']:.1f} dB")
                self.assertGreater(narrow["sqnr_db"], fake_bound)
                self.assertGreater(result["logit_sqnr_db"], qdq_bound)


if __name__ == "__main__":
    unittest.main()

"""What single quantizers write: NNCF's scales per channel and shared pairs, TensorFlow Lite's integers that are moved."""

import unittest

import numpy as np
from onnx import TensorProto, helper

from support.command_test import SEED
from support.onnx_runtime import run_plainly
from support.qat import Pairs, QatTest


class ConvertForeign(QatTest):
    def test_a_layer_behind_a_concatenation_of_equal_pairs(self):
        """Channel shuffle: pairs of equal factors before Concat, layers behind it; other factors leave them float."""
        for second, quantized in ((2**-4, 2), (2**-5, 1)):
            with self.subTest(second=second):
                rng = np.random.default_rng(SEED + 11)
                m = Pairs()
                left = m.node("Relu", [m.pair("x", 2**-4, np.uint8(100))], "r")
                a, b = m.pair(left, 2**-4, np.uint8(3)), m.pair(m.node("Neg", ["x"], "n"), second, np.uint8(3))
                joined = m.node("Concat", [a, b], "j", axis=1)
                shuffled = m.node("Transpose", [joined], "t", perm=[0, 1, 3, 2])
                w = m.stored("w", rng.integers(-128, 128, (5, 6, 2, 1)).astype(np.int8), 2**-7)
                v = m.stored("v", rng.integers(-128, 128, (5, 3, 1, 1)).astype(np.int8), 2**-6)
                y = m.node("Conv", [shuffled, w], "y")
                z = m.node("GlobalMaxPool", [m.node("Conv", [a, v], "z")], "zp")
                _, (_, stored, _) = self.same(m, [("x", [2, 3, 4, 7])], m.node("Add", [y, z], "sum"), None, f"j{quantized}",
                                              quantized=quantized)
                self.assertEqual("y_Conv.sub_module.weight" in stored, quantized == 2)

    def test_integers_that_are_moved_before_they_are_dequantized(self):
        """TensorFlow Lite's order: QuantizeLinear, Transpose or Concat of integers, DequantizeLinear."""
        rng = np.random.default_rng(SEED + 12)
        m = Pairs()
        s, z = m.constant("s", np.float32(2**-4)), m.constant("z", np.int8(-7))
        s2, z2 = m.constant("s2", np.float32(2**-4)), m.constant("z2", np.int8(-7))
        q = m.node("Transpose", [m.node("QuantizeLinear", ["x", s, z], "q")], "t", perm=[0, 3, 1, 2])
        r = m.node("QuantizeLinear", [m.node("Transpose", ["x"], "xt", perm=[0, 3, 1, 2]), s2, z2], "q2")
        halves = [m.node("DequantizeLinear", [half, s, z], f"{half}_dq") for half in ("left", "right")]
        m.nodes[-2:-2] = [helper.make_node("Concat", [q, r], ["joined"], axis=1),
                          helper.make_node("Split", ["joined"], ["left", "right"], axis=2)]
        w = m.stored("w", rng.integers(-128, 128, (5, 6, 2, 3)).astype(np.int8), 2**-7)
        layers = [m.node("Conv", [half, w], f"y{i}") for i, half in enumerate(halves)]
        report, (model, _, _) = self.same(m, [("x", [2, 6, 4, 3])], m.node("Add", layers, "sum"), None, "moved",
                                          quantized=2)
        self.assertEqual(report["anti_quantized"], 0)
        self.assertFalse([n.op_type for n in model.graph.node if n.op_type.endswith("Linear")])

    def depthwise(self, zeros, scales=(2**-5, 2**-3, 2**-4), weight_scales=(5, 7, 6, 6, 8, 5)):
        """Scales per channel in front of a depthwise convolution of multiplier 2, as NNCF writes them."""
        rng = np.random.default_rng(SEED + 9)
        m = Pairs()
        x = m.node("Relu", ["in"], "x")
        s, z = m.constant("x_s", np.float32(scales)), m.constant("x_z", np.int8(zeros))
        x = m.node("DequantizeLinear", [m.node("QuantizeLinear", [x, s, z], "x_q", axis=1), s, z], "x_dq", axis=1)
        w_scales = np.float32([2.0**-k for k in weight_scales])
        w = m.stored("w", rng.integers(-128, 128, (6, 1, 3, 2)).astype(np.int8), w_scales, axis=0)
        sums = np.repeat(np.float32(scales), 2) * w_scales
        b = m.stored("b", rng.integers(-900, 900, 6).astype(np.int32), sums, axis=0)
        m.node("Conv", [x, w, b], "y", group=3, pads=[1, 0, 1, 1])
        return m

    def test_a_scale_per_channel_in_front_of_a_depthwise_layer(self):
        shape = [2, 3, 5, 6]
        m = self.depthwise([-128] * 3)
        report, (_, stored, nodes) = self.same(m, [("in", shape)], "y", None, "channels")
        np.testing.assert_array_equal(stored["y_Conv.sub_module.weight"], m.constants["w_q"])
        np.testing.assert_array_equal(stored["y_Conv.sub_module.bias"], m.constants["b_q"])
        np.testing.assert_array_equal(stored["y_Conv.tensor_balance_factor"].ravel(), [4, 1, 2])
        quant = {a.name: helper.get_attribute_value(a) for a in nodes["y_Conv.quant"].attribute}
        self.assertEqual((quant["scale"], quant["offset"]), (8, -128))
        self.assertEqual(report["warnings"], [])

    def test_a_channel_without_values_gets_the_zero_point_of_the_others(self):
        path = self.work / "dead.onnx"
        self.depthwise([-128, -128, 0], scales=(2**-5, 2**-3, 2**-17)).save(
            path, [("in", [1, 3, 4, 7])], [("y", TensorProto.FLOAT, None)])
        report, prefix = self.convert(path, out="s/dead")
        self.assertEqual(report["quantized"], 1)
        self.assertIn("1 channels of the input of 'y_Conv'", report["warnings"][0])
        x = np.random.default_rng(SEED + 10).normal(0, 2, (1, 3, 4, 7)).astype(np.float32)
        x[:, 2] = 0
        np.testing.assert_array_equal(run_plainly(f"{prefix}_fake_quant_model.onnx", {"in": x})[0],
                                      run_plainly(path, {"in": x})[0])

    def test_channels_of_several_zero_points_are_refused(self):
        path = self.work / "bad.onnx"
        self.depthwise([-128, -128, -100]).save(path, [("in", [1, 3, 5, 6])], [("y", TensorProto.FLOAT, None)])
        self.fails("convert", path, "--out", self.work / "e/bad", code=2,
                   says=["'x_q_QuantizeLinear'", "more than one zero point"])

    def test_a_scale_per_channel_needs_a_quantized_layer(self):
        m = self.depthwise([-128] * 3)
        m.nodes[-1].input[1] = m.constant("w_float", np.ones((6, 1, 3, 2), np.float32))
        path = self.work / "bad.onnx"
        m.save(path, [("in", [1, 3, 5, 6])], [("y", TensorProto.FLOAT, None)])
        self.fails("convert", path, "--out", self.work / "e/bad", code=2,
                   says=["'x_dq_DequantizeLinear'", "'y_Conv' stays float: its weight is not quantized"])

    def test_a_scale_per_channel_of_an_activation_is_refused(self):
        m = Pairs()
        s, z = m.constant("s", np.float32([0.1] * 5)), m.constant("z", np.zeros(5, np.int8))
        m.node("DequantizeLinear", [m.node("QuantizeLinear", ["x", s, z], "q"), s, z], "y")
        path = self.work / "bad.onnx"
        m.save(path, [("x", [2, 5])], [("y", TensorProto.FLOAT, [2, 5])])
        self.fails("convert", path, "--out", self.work / "e/bad", code=2, says=["'q_QuantizeLinear'", "only depthwise"])


if __name__ == "__main__":
    unittest.main()

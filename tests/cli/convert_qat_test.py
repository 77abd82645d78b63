"""A model that was quantized elsewhere in, AMCT's forms out: what it computes stays."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType

from support.assets import needs_assets
from support.command_test import SEED, small_network
from support.model_data import inputs_of
from support.onnx_runtime import run_plainly
from support.qat import Pairs, QatTest, layers_by_name
from support.their_quantizer import quantize


def round_scales(path):
    """Makes every scale a power of two: no quotient is rounded then, and every result is the same to the bit."""
    model = onnx.load(str(path))
    scales = {t.name: t for t in model.graph.initializer}
    producers = {n.output[0]: n for n in model.graph.node}
    linear = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for name in {n.input[1] for n in linear}:
        rounded = np.exp2(np.round(np.log2(numpy_helper.to_array(scales[name])))).astype(np.float32)
        scales[name].CopyFrom(numpy_helper.from_array(rounded, name))
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3:
            continue
        scale_d, scale_w, own = (scales[producers[i].input[1]] for i in node.input)
        product = numpy_helper.to_array(scale_d) * numpy_helper.to_array(scale_w)
        own.CopyFrom(numpy_helper.from_array(product.reshape(own.dims), own.name))
    onnx.save(model, str(path))


class ConvertQat(QatTest):
    def written(self, path, zero=np.uint8(113), opset=13):
        """Conv, ReLU, residual Add, Gemm with a scale per row; scales are powers of two, so every integer is exact."""
        rng = np.random.default_rng(SEED + 3)
        m = Pairs()
        x = m.pair("x", 2**-5, zero)
        w = m.stored("w", rng.integers(-127, 128, (5, 3, 3, 3)).astype(np.int8), 2.0 ** -rng.integers(7, 10, 5), axis=0)
        weight_scale = m.constants["w_s"]
        bias = rng.integers(-3000, 3000, 5).astype(np.int32)
        bias[1] = 2**24 + 1 - 2**25  # no float32 holds it
        b = m.stored("b", bias, 2**-5 * weight_scale, axis=0)
        c = m.node("Relu", [m.pair(m.node("Conv", [x, w, b], "c", pads=[1, 0, 1, 0]), 2**-3, np.int8(-9))], "r")
        a = m.node("Add", [m.pair(c, 2**-4, np.uint8(0)), m.constant("shift", np.full((1, 5, 1, 1), 0.375, np.float32))], "a")
        g = m.node("Flatten", [m.pair(m.node("GlobalMaxPool", [a], "p"), 2**-4, np.int8(-100))], "f")
        v = m.stored("v", rng.integers(-127, 128, (7, 5)).astype(np.int8), 2.0 ** -rng.integers(7, 9, 7), axis=0)
        y = m.pair(m.node("Gemm", [g, v], "y", transB=1), 2**-2, np.uint8(131))
        m.save(path, [("x", ["N", 3, 9, 7])], [(y, TensorProto.FLOAT, ["N", 7])], opset)
        return m.constants

    def test_every_integer_stays(self):
        for opset in (11, 13, 17):
            path = self.work / f"qat{opset}.onnx"
            constants = self.written(path, opset=opset)
            report, prefix = self.convert(path, out=f"b/{opset}")
            self.assertEqual((report["layers"], report["quantized"], report["anti_quantized"]), (2, 2, 3))
            model, stored, nodes = layers_by_name(f"{prefix}_deploy_model.onnx")
            self.assertEqual([n.op_type for n in model.graph.node].count("AscendAntiQuant"), 3)
            self.assertFalse([n for n in model.graph.node if n.op_type.endswith("Linear")])
            np.testing.assert_array_equal(stored["c_Conv.sub_module.weight"], constants["w_q"])
            np.testing.assert_array_equal(stored["c_Conv.sub_module.bias"], constants["b_q"])
            np.testing.assert_array_equal(stored["y_Gemm.sub_module.weight"], constants["v_q"].T)
            quant = {a.name: helper.get_attribute_value(a) for a in nodes["c_Conv.quant"].attribute}
            self.assertEqual((quant["scale"], quant["offset"]), (32, 113 - 128))
            x = np.random.default_rng(SEED).normal(0, 1.5, (4, 3, 9, 7)).astype(np.float32)
            expected = run_plainly(path, {"x": x})[0]
            np.testing.assert_array_equal(run_plainly(f"{prefix}_fake_quant_model.onnx", {"x": x})[0], expected)

    def test_transposed_convolutions(self):
        rng = np.random.default_rng(SEED + 6)
        for groups, axis, quantized in ((1, 1, 1), (2, 1, 1), (2, None, 1), (1, 0, 0)):
            with self.subTest(groups=groups, axis=axis):
                m = Pairs()
                integers = rng.integers(-128, 128, (6, 3, 2, 3)).astype(np.int8)
                scale = 2.0**-7 if axis is None else 2.0 ** -rng.integers(5, 9, integers.shape[axis])
                w = m.stored("w", integers, scale, **({} if axis is None else {"axis": axis}))
                x = m.pair("x", 2**-5, np.uint8(120))
                m.node("ConvTranspose", [x, w], "y", group=groups, strides=[2, 1])
                _, (_, stored, _) = self.same(m, [("x", [2, 6, 5, 4])], "y", None, f"t{groups}{axis}",
                                              quantized=quantized)
                if quantized:
                    np.testing.assert_array_equal(stored["y_ConvTranspose.sub_module.weight"], integers)

    def test_matrix_products(self):
        rng = np.random.default_rng(SEED + 7)
        for rank, count, quantized in ((2, 5, 1), (3, 1, 1), (3, 5, 0)):
            with self.subTest(rank=rank, count=count):
                m = Pairs()
                integers = rng.integers(-128, 128, (7, 5)).astype(np.int8)
                scale = 2.0 ** -rng.integers(5, 9, count) if count > 1 else 2.0**-6
                w = m.stored("w", integers, scale, axis=1)
                y = m.node("MatMul", [m.pair("x", 2**-5, np.int8(17)), w], "y")
                shape = [2, 3, 7][3 - rank:]
                _, (_, stored, _) = self.same(m, [("x", shape)], y, None, f"m{rank}{count}", quantized=quantized)
                if quantized:
                    np.testing.assert_array_equal(stored["y_MatMul.sub_module.weight"], integers)

    def test_weights_that_are_shared_transposed_unsigned_or_float(self):
        rng = np.random.default_rng(SEED + 8)
        m = Pairs()
        x = m.pair("x", 2**-5, np.int16(300))
        w = m.constant("w", rng.integers(0, 256, (4, 4)).astype(np.uint8))
        s, z = m.constant("w_s", np.float32(2**-7)), m.constant("w_z", np.uint8(128))
        w = m.node("DequantizeLinear", [w, s, z], "w_dq")
        v = m.pair(m.constant("v", rng.normal(0, 0.3, (9, 4)).astype(np.float32)), 2**-6, np.int8(0))
        t = m.node("Transpose", [v], "v_t", perm=[1, 0])
        a = m.pair(m.node("Gemm", [x, w], "a"), 2**-4, np.uint8(128))
        b = m.pair(m.node("Gemm", [a, w], "b"), 2**-3, np.uint8(99))
        self.same(m, [("x", [3, 4])], m.node("MatMul", [b, t], "y"), None, "shared", opset=21, quantized=3)

    def test_seven_bits_and_a_pair_before_movement(self):
        m = Pairs()
        s, z = m.constant("s", np.float32(2**-5)), m.constant("z", np.uint8(40))
        low, high = m.constant("low", np.uint8(3)), m.constant("high", np.uint8(127))
        q = m.node("Clip", [m.node("QuantizeLinear", ["x", s, z], "q"), low, high], "clipped")
        f = m.node("Flatten", [m.node("MaxPool", [m.node("DequantizeLinear", [q, s, z], "d")], "p", kernel_shape=[2, 2])], "f")
        w = m.stored("w", np.random.default_rng(SEED).integers(-99, 99, (5, 24)).astype(np.int8), 2**-6)
        report, (model, _, _) = self.same(m, [("x", [2, 2, 4, 5])], m.node("Gemm", [f, w], "y", transB=1), None, "seven")
        self.assertEqual(report["anti_quantized"], 0)
        self.assertEqual([n.op_type for n in model.graph.node],
                         ["Clip", "MaxPool", "Flatten", "AscendQuant", "Gemm", "AscendDequant"])

    def test_layers_that_stay_float_say_why(self):
        rng = np.random.default_rng(SEED + 9)
        m = Pairs()
        x = m.pair("x", 2**-5, np.int8(5))
        w = m.constant("w", rng.normal(0, 1, (4, 4)).astype(np.float32))
        v = m.constant("v", rng.integers(0, 256, (4, 4)).astype(np.uint8))
        v = m.node("DequantizeLinear", [v, m.constant("v_s", np.float32(2**-7)), m.constant("v_z", np.uint8(7))], "v_dq")
        u = m.stored("u", rng.integers(-99, 99, (4, 4)).astype(np.int8), 2**-6)
        y = m.node("Gemm", [m.node("Gemm", [m.node("Gemm", [x, w], "a"), u], "b"), v], "c")
        report, _ = self.same(m, [("x", [3, 4])], y, None, "float", quantized=0)
        self.assertEqual([k["reason"] for k in report["kept_float"]],
                         ["its weight is not quantized", "its input is not quantized", "its input is not quantized"])
        self.assertEqual(report["anti_quantized"], 1)

    def test_a_bias_of_another_scale_is_rounded_again(self):
        m = Pairs()
        w = m.stored("w", np.full((4, 4), 3, np.int8), 2**-6)
        b = m.stored("b", np.int32([9, -7, 100, 0]), 2**-9)
        m.node("Gemm", [m.pair("x", 2**-5, np.int8(5)), w, b], "y")
        report, (_, stored, _) = self.same(m, [("x", [3, 4])], "y", None, "bias")
        self.assertEqual(len(report["warnings"]), 1)
        self.assertIn("'y_Gemm'", report["warnings"][0])
        np.testing.assert_array_equal(stored["y_Gemm.sub_module.bias"], [36, -28, 400, 0])

    def test_integers_that_others_read_are_refused(self):
        m = Pairs()
        m.pair("x", 0.1, np.int8(3))
        m.node("Cast", ["x_q"], "y", to=TensorProto.FLOAT)
        path = self.work / "bad.onnx"
        m.save(path, [("x", [2, 5])], [("y", TensorProto.FLOAT, [2, 5]), ("x_dq", TensorProto.FLOAT, [2, 5])])
        self.fails("convert", path, "--out", self.work / "e/bad", code=2, says=["'x_q_QuantizeLinear'", "'y_Cast'"])

    def test_the_record_quantizes_the_float_model_alike(self):
        """Per output channel for Gemm and MatMul too."""
        rng = np.random.default_rng(SEED + 13)
        m, plain = Pairs(), Pairs()
        w = rng.integers(-128, 128, (7, 5)).astype(np.int8)
        v = rng.integers(-128, 128, (4, 5)).astype(np.int8)
        w_scale, v_scale = np.float32(2.0 ** -rng.integers(5, 9, 5)), np.float32(2.0 ** -rng.integers(5, 9, 4))
        y = m.node("MatMul", [m.pair("x", 2**-5, np.int8(17)), m.stored("w", w, w_scale, axis=1)], "y")
        z = m.node("Gemm", [m.pair(y, 2**-3, np.uint8(30)), m.stored("v", v, v_scale, axis=0)], "z", transB=1)
        y = plain.node("MatMul", ["x", plain.constant("w", w * w_scale)], "y")
        plain.node("Gemm", [y, plain.constant("v", v * v_scale[:, None])], "z", transB=1)
        for network, name in ((m, "qat"), (plain, "plain")):
            network.save(self.work / f"{name}.onnx", [("x", ["N", 7])], [(z, TensorProto.FLOAT, ["N", 4])])
        _, prefix = self.convert(self.work / "qat.onnx")
        again = self.work / "r/plain"
        self.run_amct("convert", self.work / "plain.onnx", "--record", f"{prefix}_record.txt", "--out", again)
        x = rng.normal(0, 2, (3, 7)).astype(np.float32)
        np.testing.assert_array_equal(run_plainly(f"{again}_fake_quant_model.onnx", {"x": x})[0],
                                      run_plainly(self.work / "qat.onnx", {"x": x})[0])
        stored = layers_by_name(f"{again}_deploy_model.onnx")[1]
        np.testing.assert_array_equal(stored["y_MatMul.sub_module.weight"], w)

    def test_a_scale_per_column_of_a_product_that_is_no_matrix_is_refused(self):
        plain = Pairs()
        plain.node("MatMul", ["x", plain.constant("w", np.ones((7, 2), np.float32))], "y")
        plain.save(self.work / "plain.onnx", [("x", [2, 3, 7])], [("y", TensorProto.FLOAT, [2, 3, 2])])
        record = self.work / "record.txt"
        record.write_text('record {\n  key: "y_MatMul"\n  value {\n    scale_d: 0.1\n    offset_d: 0\n' +
                          "    scale_w: 0.1\n    offset_w: 0\n" * 2 + "  }\n}\n")
        self.fails("convert", self.work / "plain.onnx", "--record", record, "--out", self.work / "e/plain",
                   says=["'y_MatMul'", "2 weight scales, must be 1"])

    def test_an_output_of_integers_becomes_signed(self):
        m = Pairs()
        m.pair("x", 2**-4, np.uint8(100))
        m.nodes.pop()
        path = self.work / "integers.onnx"
        m.save(path, [("x", [2, 5])], [("x_q", TensorProto.UINT8, [2, 5])])
        report, prefix = self.convert(path)
        self.assertEqual((report["layers"], report["anti_quantized"]), (0, 0))
        model, _, _ = layers_by_name(f"{prefix}_deploy_model.onnx")
        self.assertEqual([n.op_type for n in model.graph.node], ["AscendQuant"])
        self.assertEqual(model.graph.output[0].type.tensor_type.elem_type, TensorProto.INT8)
        x = np.random.default_rng(SEED).normal(0, 6, (2, 5)).astype(np.float32)
        fake = run_plainly(f"{prefix}_fake_quant_model.onnx", {"x": x})[0]
        np.testing.assert_array_equal(fake, run_plainly(path, {"x": x})[0].astype(np.float32) - 100)

    def test_mismatched_pairs_are_all_named(self):
        m = Pairs()
        a = m.pair("x", 0.1, np.int8(3), back=0.2)
        m.pair(m.node("Relu", [a], "r"), 0.1, np.uint8(3), back=0.3)
        path = self.work / "bad.onnx"
        m.save(path, [("x", [2, 5])], [("r_dq", TensorProto.FLOAT, [2, 5])])
        self.faults("convert", path, "--out", self.work / "e/bad", code=2,
                    says=[["'x_q_QuantizeLinear'", "'x_dq_DequantizeLinear'", "scale 0.1, zero point 3 (int8)"],
                          ["'r_q_QuantizeLinear'", "'r_dq_DequantizeLinear'", "scale 0.3, zero point 3 (uint8)"]])
        self.assertFalse((self.work / "e").exists())

    def test_a_float_model_needs_a_record(self):
        self.fails("convert", self.model, "--out", self.work / "e/small", says=["no QuantizeLinear", "--record"])
        path = self.work / "qat.onnx"
        self.written(path)
        self.fails("convert", path, "--out", self.work / "e/small", "--emit", "qdq", says=["QDQ", "--emit"])

    def same_up_to_ties(self, source, prefix, feeds):
        """x / s and x * (1 / s) round differently at ties, a step then and there; the rest is float rounding."""
        expected, found = run_plainly(source, feeds)[0], run_plainly(f"{prefix}_fake_quant_model.onnx", feeds)[0]
        error = np.sum((found - expected) ** 2) / np.sum((expected - np.mean(expected)) ** 2)
        self.assertLess(error, 1e-4)
        np.testing.assert_array_equal(np.argmax(found, -1), np.argmax(expected, -1))

    def test_models_of_onnx_runtimes_quantizer(self):
        for opset in (11, 13):
            self.model = self.work / f"small{opset}.onnx"
            small_network(self.model, opset=opset)
            for per_channel in (False, True):
                for activation in (QuantType.QUInt8, QuantType.QInt8):
                    path = self.work / "ort.onnx"
                    quantize(self.model, path, [{"x": sample[None]} for sample in self.samples], per_channel=per_channel,
                             activation_type=activation)
                    report, prefix = self.convert(path, out=f"b/{opset}_{per_channel}_{activation}")
                    with self.subTest(opset=opset, per_channel=per_channel, activation=activation):
                        self.assertEqual((report["layers"], report["quantized"]), (4, 4), report["kept_float"])
                        self.assertGreater(report["anti_quantized"], 0)
                        self.assertEqual(report["warnings"], [])
                        self.same_up_to_ties(path, prefix, {"x": self.samples})

    def test_our_own_files(self):
        prefix = self.quantize("--no-bias-correction", out="a/small")
        report, converted = self.convert(f"{prefix}_qdq.onnx")
        self.assertEqual((report["layers"], report["quantized"]), (4, 4), report["kept_float"])
        self.same_up_to_ties(f"{prefix}_qdq.onnx", converted, {"x": self.samples})
        ours = layers_by_name(f"{prefix}_deploy_model.onnx")[1]
        theirs = layers_by_name(f"{converted}_deploy_model.onnx")[1]
        for name, integers in ours.items():
            if name.endswith((".weight", ".bias")):
                np.testing.assert_array_equal(theirs[name], integers, name)

    def test_real_networks(self):
        assets = needs_assets(self)
        for name in ("resnet8_cifar10", "mobilenet_v1_025"):
            source = assets / f"onnx/{name}.onnx"
            (item, dims), = inputs_of(source).items()
            feeds = [{item: x[None]} for x in np.random.default_rng(SEED).uniform(0, 1, [4] + dims[1:]).astype(np.float32)]
            for per_channel in (False, True):
                path = self.work / f"{name}.onnx"
                quantize(source, path, feeds, per_channel=per_channel)
                round_scales(path)
                report, prefix = self.convert(path, out=f"c/{name}{per_channel}")
                with self.subTest(network=name, per_channel=per_channel):
                    self.assertGreaterEqual(report["quantized"], report["layers"] - 1, report["kept_float"])
                    self.assertEqual(report["warnings"], [])
                    expected = run_plainly(path, feeds[0])[0]
                    self.assertGreater(np.ptp(expected), 0)
                    np.testing.assert_array_equal(run_plainly(f"{prefix}_fake_quant_model.onnx", feeds[0])[0], expected)


if __name__ == "__main__":
    unittest.main()

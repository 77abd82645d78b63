"""QDQ files for several runtimes and in several widths: what each target's published rules demand, checked on the file,
and what the file computes in ONNX Runtime."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.assets import needs_assets
from support.command_test import SEED, small_network
from support.measures import sqnr
from support.model_data import data_for, model as asset
from support.models import constants_of, save_model
from support.qdq_file import File, QdqCase

ACTIVATIONS = {"Relu", "Clip", "LeakyRelu", "Sigmoid", "PRelu", "HardSwish", "Tanh"}
WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}


def tensorrt_faults(file):
    """What TensorRT's documentation of explicit quantization forbids or advises against, as lines."""
    faults = []
    say = faults.append
    for node in file.of("QuantizeLinear", "DequantizeLinear"):
        scale, zero = node.input[1], node.input[2]
        if scale not in file.constants or not np.all(np.isfinite(file.array(scale)) & (file.array(scale) > 0)):
            say(f"{node.name}: its scale is not constant, positive and finite")
        if file.dtype(zero) != TensorProto.INT8 or np.any(file.array(zero) != 0):
            say(f"{node.name}: its zero point is not an int8 zero")
        constant = node.input[0] in file.constants
        if file.array(scale).size > 1 and not constant:
            say(f"{node.name}: an activation has several scales")
        if node.op_type == "DequantizeLinear" and not constant and file.producer[node.input[0]].op_type != "QuantizeLinear":
            say(f"{node.name}: stands without a QuantizeLinear")
    for node in file.of(*WEIGHTED):
        weight = file.producer.get(node.input[1])
        if weight is None:
            continue  # a layer that stays float
        if file.dtype(weight.input[0]) != TensorProto.INT8:
            say(f"{node.name}: its weights are not int8")
        channels = {"Conv": 0, "ConvTranspose": 1}.get(node.op_type)
        if file.array(weight.input[1]).size > 1 and file.axis(weight) != channels:
            say(f"{node.name}: its scales are not per output channel")
        if file.producer[node.input[0]].op_type != "DequantizeLinear":
            say(f"{node.name}: its input has no pair")
        if len(node.input) > 2 and node.input[2] not in file.constants:
            say(f"{node.name}: its bias is not a float constant")
    for node in file.of("QuantizeLinear"):
        maker = file.producer.get(node.input[0])
        others = [reader for reader in file.readers(node.input[0]) if reader is not node]
        if maker is not None and maker.op_type in WEIGHTED and any(r.op_type in ACTIVATIONS for r in others):
            say(f"{node.name}: stands between {maker.name} and its activation")
        if maker is not None and maker.op_type == "DequantizeLinear":
            say(f"{node.name}: quantizes what {maker.name} dequantized")
    for node in file.of(*ACTIVATIONS):
        maker = file.producer.get(node.input[0])
        source = file.producer.get(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else None
        origin = file.producer.get(source.input[0]) if source is not None else None
        if origin is not None and origin.op_type in WEIGHTED:
            say(f"{node.name}: a pair separates it from {origin.name}")
    for node in file.of("Add"):  # the sum is fused into one of the layers that feed it
        makers = [file.producer.get(name) for name in node.input]
        layers = [m for m in makers if m is not None and m.op_type in WEIGHTED]
        behind = [file.producer.get(file.producer[m.input[0]].input[0]) for m in makers
                  if m is not None and m.op_type == "DequantizeLinear" and m.input[0] in file.producer
                  and len(file.readers(m.output[0])) == 1]
        alone = [m for m in behind if m is not None and m.op_type in WEIGHTED
                 and len(file.readers(m.output[0])) == 1 and not layers]
        if alone:
            say(f"{node.name}: no layer that feeds it can take it in")
    return faults


class QdqTargets(QdqCase):
    def test_tensorrt_rules_hold(self):
        file = self.qdq("--qdq-target", "tensorrt")
        self.assertEqual(tensorrt_faults(file), [])
        self.assertEqual(len(file.of("Relu")), 2)
        self.assertGreater(sqnr(File(self.model).run(self.feeds()), file.run(self.feeds())), 20)

    def test_tensorrt_rules_find_fault_with_other_files(self):
        faults = tensorrt_faults(self.qdq())
        self.assertTrue(any("zero point is not an int8 zero" in fault for fault in faults))
        self.assertTrue(any("bias is not a float constant" in fault for fault in faults))

    def test_openvino_has_float_biases_and_pairs_at_inputs_alone(self):
        file = self.qdq("--qdq-target", "openvino")
        for node in file.of("Conv", "Gemm"):
            self.assertIn(node.input[2], file.constants)
        readers = [reader for node in file.of("Conv") for reader in file.readers(node.output[0])]
        self.assertEqual([node for node in readers if node.op_type == "QuantizeLinear" and
                          file.readers(file.readers(node.output[0])[0].output[0])[0].op_type == "Add"], [])
        self.assertGreater(sqnr(File(self.model).run(self.feeds()), file.run(self.feeds())), 20)

    def test_what_an_activation_cuts_off_does_not_widen_the_steps_before_it(self):
        wide = self.work / "wide.onnx"
        weights = {"conv1.weight": np.random.default_rng(SEED).normal(-2, 2, (9, 3, 3, 3))}
        small_network(wide, weights=weights)
        (self.work / "s.cfg").write_text("activation_offset: false common_config { ifmr_quantize { } arq_quantize { } }")
        file = self.qdq("--config", self.work / "s.cfg", model=wide)
        relu = file.of("Relu")[0]  # kept: its symmetric quantizer holds negative values
        before = file.producer[relu.input[0]]
        self.assertEqual(before.op_type, "DequantizeLinear")
        self.assertEqual(file.array(before.input[2]), 0)

    def test_unknown_target(self):
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "u/q", "--qdq-target", "tensorr",
                   says=["tensorr"])
        self.assertFalse((self.work / "u").exists())

    def test_widths_that_a_target_does_not_take_are_refused_by_layer(self):
        result = self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "w/q",
                               "--activation-bits", 16, "--qdq-target", "tensorrt", code=1)
        for layer in ("conv1", "dw", "pw", "fc"):
            self.assertIn(f"node '{layer}'", result.stderr)
        self.assertIn("TensorRT takes no 16-bit activations", result.stderr)
        self.assertFalse((self.work / "w").exists())

    def test_convert_takes_a_target(self):
        self.quantize()
        self.run_amct("convert", self.model, "--record", self.work / "out/small_record.txt", "--out", self.work / "c",
                      "--qdq-target", "tensorrt")
        self.assertEqual(tensorrt_faults(File(self.work / "c_qdq.onnx")), [])


def even_network(path):
    """Conv, ConvTranspose and Gemm with even numbers of channels."""
    rng = np.random.default_rng(SEED)
    constants = {"conv.weight": (6, 4, 3, 3), "conv.bias": (6,), "up.weight": (6, 4, 2, 2), "fc.weight": (7, 24)}
    nodes = [helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "conv"),
             helper.make_node("Relu", ["c"], ["r"], "relu"),
             helper.make_node("ConvTranspose", ["r", "up.weight"], ["u"], "up", strides=[2, 2]),
             helper.make_node("MaxPool", ["u"], ["p"], "pool", kernel_shape=[3, 2], strides=[3, 2]),
             helper.make_node("Flatten", ["p"], ["f"], "flatten"),
             helper.make_node("Gemm", ["f", "fc.weight"], ["y"], "fc", transB=1)]
    save_model(path, nodes, [("x", ["N", 4, 6, 5])], [("y", ["N", 7])],
               {name: rng.normal(0, 0.4, dims) for name, dims in constants.items()})


class Widths(QdqCase):
    def test_16_bit_activations(self):
        file = self.qdq("--activation-bits", 16)
        self.assertEqual(file.opset, 21)
        types = {file.dtype(node.input[2]) for node in file.of("QuantizeLinear")}
        self.assertEqual(types, {TensorProto.UINT16})
        reference = File(self.model).run(self.feeds())
        self.assertGreater(sqnr(reference, file.run(self.feeds())), sqnr(reference, self.qdq().run(self.feeds())) + 3)

    def test_4_bit_weights_are_packed(self):
        file = self.qdq("--weight-bits", 4)
        self.assertEqual(file.opset, 21)
        for layer, dtype in (("conv1", TensorProto.INT8), ("dw", TensorProto.INT8), ("pw", TensorProto.INT8),
                             ("fc", TensorProto.INT4)):  # an odd number of channels, a group, 9 channels, Gemm
            self.assertEqual(file.dtype(f"{layer}.weight.quantized"), dtype, layer)
        fc = file.constants["fc.weight.quantized"]
        self.assertEqual(len(fc.raw_data), (7 * 9 + 1) // 2)
        scale = np.float32(self.layers("q")["fc"]["weight"]["scales"][0])
        weights = np.round(constants_of(self.model)["fc.weight"] / scale)
        np.testing.assert_array_equal(file.array("fc.weight.quantized").astype(np.int32), np.clip(weights, -8, 7))
        self.assertGreater(sqnr(File(self.model).run(self.feeds()), file.run(self.feeds())), 12)

    def test_what_a_layer_cannot_have_is_a_downgrade_with_its_name(self):
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "d", "--weight-bits", 4)
        text = "\n".join(report["downgrades"])
        for line in ("conv1 has 8-bit weights instead of 4: it has an odd number of input channels",
                     "dw has 8-bit weights instead of 4: it is a grouped convolution"):
            self.assertIn(line, text)
        self.assertEqual(report["format"], "INT4 and INT8 weights, INT8 activations")
        self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "d", "--weight-bits", 4,
                      "--strict", code=1)

    def test_other_targets_keep_4_bits_in_int8(self):
        file = self.qdq("--weight-bits", 4, "--qdq-target", "tensorrt")
        self.assertEqual(tensorrt_faults(file), [])
        self.assertLessEqual(np.abs(file.array("fc.weight.quantized").astype(int)).max(), 8)

    def test_deploy_weights_are_packed(self):
        self.model = self.work / "even.onnx"
        even_network(self.model)
        np.save(self.data, np.random.default_rng(SEED).normal(0, 1, (12, 4, 6, 5)).astype(np.float32))
        prefix = self.quantize("--weight-bits", 4, out="even")
        deploy = onnx.load(f"{prefix}_deploy_model.onnx")
        shapes = {item.name.split(".")[0]: list(item.dims) for item in deploy.graph.initializer
                  if item.name.endswith("weight")}
        self.assertEqual(shapes, {"conv": [6, 2, 3, 3], "up": [3, 4, 2, 2], "fc": [12, 7]})
        stored = next(v for k, v in constants_of(f"{prefix}_deploy_model.onnx").items() if k.startswith("conv"))
        scales = np.float32(self.layers("even")["conv"]["weight"]["scales"]).reshape(-1, 1, 1, 1)
        integers = np.clip(np.round(constants_of(self.model)["conv.weight"] / scales), -8, 7).astype(np.int8)
        np.testing.assert_array_equal(stored, (integers[:, 0::2] & 0xF) | (integers[:, 1::2] << 4))
        self.assertEqual((self.work / "even_record.txt").read_text().count('wts_type: "INT4"'), 3)
        same = self.run_json("compare", f"{prefix}_fake_quant_model.onnx", f"{prefix}_deploy_model.onnx", "--data", self.data)
        self.assertGreater(same["logit_sqnr_db"] or 200, 100)

    def test_weights_that_cannot_be_packed_are_named(self):
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "d", "--weight-bits", 4)
        self.assertIn("fc: its 4-bit weights take a byte each: it has an odd number of inputs", report["warnings"])


class RealModels(QdqCase):
    def setUp(self):
        super().setUp()
        needs_assets(self)

    def test_tensorrt_rules_hold(self):
        for name in ("mobilenet_v2", "resnet8_cifar10", "nanodet_m", "ultraface_rfb320_simplified"):
            with self.subTest(model=name):
                model = asset(name)
                file = self.qdq("--qdq-target", "tensorrt", "--emit", "qdq", "--samples", 8,
                                model=model.path, data=data_for(model, self.work))
                self.assertEqual(tensorrt_faults(file), [])


if __name__ == "__main__":
    unittest.main()

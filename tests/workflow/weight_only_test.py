"""Weights of 4 and 8 bits beside float activations: files in ONNX Runtime, what needs no samples, what is refused."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from support.assets import needs_assets
from support.command_test import CommandTest
from support.half_model import to_half
from support.measures import sqnr
from support.model_data import feeds_of, model as asset
from support.onnx_runtime import session

WIDTHS = {"4": TensorProto.INT4, "8": TensorProto.INT8}


def exact_session(path):
    """ONNX Runtime would round activations to 8 bits before products with such weights."""
    return session(path, entries={"session.qdq_matmulnbits_accuracy_level": "1"})


def outputs(runner, feeds):
    return np.concatenate([runner.run(None, feed)[0] for feed in feeds])


class WeightOnly(CommandTest):
    def quantize_weights(self, model, *extra, out="w"):
        self.run_amct("quantize", model, "--weight-only", "--out", self.work / out, *extra)
        return self.work / out

    def check_file(self, path, layers, bits, group=0):
        """Only constants are dequantized, those of these layers; returns the file."""
        file = onnx.load(str(path))
        onnx.checker.check_model(file, full_check=True)
        constants = {item.name: item for item in file.graph.initializer}
        self.assertFalse([node.name for node in file.graph.node if node.op_type == "QuantizeLinear"])
        pairs = [node for node in file.graph.node if node.op_type == "DequantizeLinear"]
        self.assertEqual({node.name.removesuffix(".weight.dequantize") for node in pairs}, layers)
        for node in pairs:
            self.assertEqual(constants[node.input[0]].data_type, WIDTHS[bits], node.name)
            blocks = {a.name: a.i for a in node.attribute}.get("block_size", 0)
            self.assertEqual(blocks, group, node.name)
            self.assertGreater(np.prod(constants[node.input[1]].dims), 1, node.name)  # per channel, or per group
        return file

    def test_a_language_model(self):
        needs_assets(self)
        item = asset("stories260K")
        feeds = feeds_of(item)
        original = outputs(session(item.path), feeds)
        size = item.path.stat().st_size
        sizes = {}
        for bits, group, bound in (("8", 0, 36), ("8", 32, 37), ("4", 0, 15), ("4", 32, 16)):
            prefix = self.quantize_weights(item.path, "--weight-bits", bits, *(["--weight-group", group] if group else []))
            plan = self.plan("w")
            layers = {layer["name"] for layer in plan["layers"] if layer["quantize"]}
            self.assertFalse([layer["name"] for layer in plan["layers"] if layer.get("weight", {}).get("scales")])
            self.assertEqual(len(layers), 36)
            qdq, fake = (prefix.with_name(f"w_{form}.onnx") for form in ("qdq", "fake_quant_model"))
            self.check_file(qdq, layers, bits, group)
            simulated = outputs(session(fake), feeds)
            self.assertGreater(sqnr(simulated, outputs(exact_session(qdq), feeds)), 80)
            sizes[bits, group] = qdq.stat().st_size
            decibels = sqnr(original, outputs(session(qdq), feeds))
            print(f"{bits} bits, groups of {group or 'all'}: {sizes[bits, group] / 1000:.0f} of {size / 1000:.0f} kB, SQNR in "
                  f"ONNX Runtime {decibels:.1f} dB, of the simulation {sqnr(original, simulated):.1f} dB")
            self.assertGreater(decibels, bound)
        self.assertLess(max(sizes["8", 0], sizes["8", 32]), 0.43 * size)
        self.assertLess(max(sizes["4", 0], sizes["4", 32]), 0.32 * size)

    def test_convolutions_and_the_files_that_there_are(self):
        prefix = self.quantize_weights(self.model)
        self.assertEqual({path.name for path in self.work.glob("w_*")}, {"w_qdq.onnx", "w_fake_quant_model.onnx", "w_plan.json"})
        file = self.check_file(prefix.with_name("w_qdq.onnx"), {"conv1", "dw", "pw", "fc"}, "8")
        biases = [item for item in file.graph.initializer if item.data_type == TensorProto.INT32]
        self.assertFalse(biases)
        feeds = [{"x": self.samples}]
        original = outputs(session(self.model), feeds)
        for form in ("qdq", "fake_quant_model"):
            self.assertGreater(sqnr(original, outputs(session(prefix.with_name(f"w_{form}.onnx")), feeds)), 35)

    def test_float16(self):
        half = self.work / "half.onnx"
        to_half(self.model, half)
        prefix = self.quantize_weights(half)
        feeds = [{"x": self.samples.astype(np.float16)}]
        result = outputs(session(prefix.with_name("w_qdq.onnx")), feeds)
        self.assertEqual(result.dtype, np.float16)
        self.assertGreater(sqnr(outputs(session(half), feeds), result), 30)

    def test_recurrent_layers(self):
        needs_assets(self)
        item = asset("dtln_1")
        prefix = self.quantize_weights(item.path)
        feeds = feeds_of(item)
        original = outputs(session(item.path), feeds)
        for form in ("qdq", "fake_quant_model"):
            path = prefix.with_name(f"w_{form}.onnx")
            self.assertGreater(sqnr(original, outputs(session(path), feeds)), 25)
        self.assertLess(prefix.with_name("w_qdq.onnx").stat().st_size, 0.3 * item.path.stat().st_size)

    def test_with_samples_the_result_is_measured_and_the_same(self):
        plain, measured = self.work / "a/w", self.work / "b/w"
        report = self.run_json("quantize", self.model, "--weight-only", "--out", plain)
        self.assertEqual((report["samples"], report["sqnr_db"], report["format"]), (0, None, "INT8 weights, float activations"))
        report = self.run_json("quantize", self.model, "--weight-only", "--data", self.data, "--out", measured)
        self.assertGreater(report["sqnr_db"], 35)
        again = self.work / "c/w"
        self.run_amct("quantize", self.model, "--weight-only", "--config", f"{plain}_plan.json", "--out", again)
        by_plan = self.work / "d/w"  # the plan says it, too
        self.run_amct("quantize", self.model, "--data", self.data, "--config", f"{plain}_plan.json", "--out", by_plan)
        for name in ("w_qdq.onnx", "w_fake_quant_model.onnx", "w_plan.json"):
            for other in (measured, again, by_plan):
                self.assertEqual(other.with_name(name).read_bytes(), plain.with_name(name).read_bytes(), (name, other))
        self.fails("quantize", self.model, "--data", self.data, "--config", f"{plain}_plan.json", "--shift", "--out",
                   self.work / "x/w", says=["--shift", "--weight-only"])
        self.fails("calibrate", self.model, "--data", self.data, "--config", f"{plain}_plan.json", "--out", self.work / "x.cal",
                   says=["weights only", "nothing to calibrate"])

    def test_settings_of_a_configuration(self):
        config = self.work / "c.cfg"
        config.write_text('skip_layers: "fc" override_layer_types { layer_type: "Conv" calibration_config { '
                          'arq_quantize { channel_wise: true } } }')
        prefix = self.quantize_weights(self.model, "--config", config)
        self.check_file(prefix.with_name("w_qdq.onnx"), {"conv1", "dw", "pw"}, "8")

    def test_few_distinct_weights(self):
        prefix = self.quantize_weights(self.model, "--nuq", "16")
        file = self.check_file(prefix.with_name("w_qdq.onnx"), {"conv1", "dw", "pw", "fc"}, "8")
        weights = [numpy_helper.to_array(item) for item in file.graph.initializer if item.name.endswith(".weight.quantized")]
        self.assertEqual(len(weights), 4)
        for weight in weights:
            self.assertLessEqual(len(np.unique(weight)), 16)

    def test_what_has_no_meaning(self):
        command = ["quantize", self.model, "--weight-only", "--out", self.work / "x/w"]
        self.faults(*command, "--activation-bits", "16", "--balance", "--shift", "--search", "mse", "--joint",
                    says=[[option, "--weight-only"] for option in ("--activation-bits", "--search", "--balance", "--joint", "--shift")])
        self.faults(*command, "--nuq-loss", "1", "--nuq", "16", "--data", self.data, "--workers", "2", "--resume",
                    says=[[option, "--weight-only"] for option in ("--nuq-loss", "--resume", "--workers")])
        self.fails(*command, "--weight-bits", "6", says=["4 or 8 bits"])
        self.fails(*command, "--emit", "deploy", code=2, says=["deploy", "float activations", "--emit fake,qdq"])
        for target in ("tensorrt", "openvino"):
            self.fails(*command, "--weight-group", "32", "--qdq-target", target, says=["fc", "groups of weights", "--qdq-target"])
            self.run_amct(*command, "--qdq-target", target)
        self.assertIn("no deploy model", self.run_amct(*command).stdout)


if __name__ == "__main__":
    unittest.main()

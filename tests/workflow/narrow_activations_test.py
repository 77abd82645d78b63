"""4-bit activations: exported files in ONNX Runtime (pairs of INT4 at opset 21), the deploy model against the simulation, and
what cannot be had, by name."""

import json
import unittest

import numpy as np
import onnx
from onnx import TensorProto

from support.assets import needs_assets
from support.command_test import CommandTest, small_network
from support.measures import sqnr
from support.model_data import data_for, feeds_of, model as asset
from support.onnx_runtime import session
from support.quantized_parts import QuantizedParts, agree

NARROW = ["--weight-bits", "4", "--activation-bits", "4"]


def outputs(path, feeds):
    runner = session(path)
    return np.concatenate([runner.run(None, feed)[0] for feed in feeds])


class NarrowActivations(CommandTest):
    def check_pairs(self, path, narrow):
        """Each of these layers reads a pair of INT4 that only such layers read; no other activation has 4 bits."""
        file = onnx.load(str(path))
        onnx.checker.check_model(file, full_check=True)
        self.assertEqual([entry.version for entry in file.opset_import if entry.domain == ""], [21])
        constants = {item.name: item.data_type for item in file.graph.initializer}
        producers = {name: node for node in file.graph.node for name in node.output}
        pairs = set()
        for node in file.graph.node:
            if node.name not in narrow:
                continue
            back = producers[node.input[0]]
            self.assertEqual(back.op_type, "DequantizeLinear", node.name)
            self.assertEqual(constants[back.input[2]], TensorProto.UINT4, node.name)
            self.assertEqual(producers[back.input[0]].op_type, "QuantizeLinear")
            pairs.add(back.output[0])
            self.assertEqual(constants[producers[node.input[1]].input[0]], TensorProto.INT4, node.name)
        self.assertTrue(pairs)
        for node in file.graph.node:
            if pairs & set(node.input):
                self.assertIn(node.name, narrow)
            if node.op_type == "QuantizeLinear" and constants[node.input[2]] == TensorProto.UINT4:
                self.assertIn(next(r for r in file.graph.node if node.output[0] in r.input).output[0], pairs)

    def check_deploy(self, prefix, narrow, data):
        """Biases of these layers are cast (spec C.6), and the file computes what its simulation computes."""
        file = onnx.load(str(self.work / f"{prefix}_deploy_model.onnx"))
        producers = {name: node for node in file.graph.node for name in node.output}
        for node in file.graph.node:
            if node.name in narrow:
                types = {a.name: a.s for a in producers[node.input[0]].attribute}
                self.assertEqual(types["dst_type"], b"INT4", node.name)
            if node.name in narrow and len(node.input) > 2:
                self.assertEqual(producers[node.input[2]].op_type, "Cast", node.name)
        report = self.run_json("compare", self.work / f"{prefix}_fake_quant_model.onnx", self.work / f"{prefix}_deploy_model.onnx",
                               *data)
        for output in report["outputs"]:
            self.assertTrue(output["sqnr_db"] is None or output["sqnr_db"] > 100, output)

    def check_integers(self, prefix, feed):
        """Every integer of both files is the one that ONNX Runtime computes."""
        for form in ("fake_quant_model", "qdq"):
            count = QuantizedParts(self.work / f"{prefix}_{form}.onnx").compare(feed, "--exact")
            self.assertTrue(agree(count), f"{form}: {count}")

    def test_small_network(self):
        rng = np.random.default_rng(5)
        small_network(self.model, weights={"pw.weight": rng.normal(0, 0.4, (9, 9, 1, 1)), "fc.weight": rng.normal(0, 0.5, (7, 9))})
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "narrow", *NARROW)
        plan = self.layers("narrow")
        narrow = {name for name, layer in plan.items() if layer["activation"]["bits"] == 4}
        self.assertEqual(narrow, {"fc"})  # convolutions of 9 channels, and one in groups: no 4-bit weights
        for name in set(plan) - narrow:
            self.assertTrue(any(line.startswith(f"{name} has an 8-bit activation instead of 4: its weights have 8 bits")
                                for line in report["downgrades"]), report["downgrades"])
        self.check_pairs(self.work / "narrow_qdq.onnx", narrow)
        self.check_deploy("narrow", narrow, ["--data", self.data])
        feeds = [{"x": self.samples[i:i + 1]} for i in range(len(self.samples))]
        fake, qdq = (outputs(self.work / f"narrow_{form}.onnx", feeds) for form in ("fake_quant_model", "qdq"))
        self.assertGreater(sqnr(fake, qdq), 20)
        self.check_integers("narrow", feeds[0])

    def test_real_networks(self):
        needs_assets(self)
        # Of so few levels little is left of some; bounds are what is measured less 2 dB.
        for name, bound in (("mnist_cntk", 15), ("vnn_mnistfc_256x4", 4), ("vnn_eran_mnist_relu_9_200", 12), ("stories260K", 4)):
            with self.subTest(name):
                item = asset(name)
                data = data_for(item, self.work)
                self.run_amct("quantize", item.path, *data, "--out", self.work / name, *NARROW)
                narrow = {key for key, layer in self.layers(name).items()
                          if layer["quantize"] and layer["activation"]["bits"] == 4}
                self.check_pairs(self.work / f"{name}_qdq.onnx", narrow)
                self.check_deploy(name, narrow, data)
                feeds = feeds_of(item)[:16]
                self.check_integers(name, feeds[0])
                original = outputs(item.path, feeds)
                decibels = {form: sqnr(original, outputs(self.work / f"{name}_{form}.onnx", feeds))
                            for form in ("fake_quant_model", "qdq")}
                print(f"{name}: {len(narrow)} layers with 4-bit activations, SQNR in ONNX Runtime: simulation "
                      f"{decibels['fake_quant_model']:.1f} dB, QDQ {decibels['qdq']:.1f} dB")
                self.assertGreater(min(decibels.values()), bound)

    def test_what_cannot_be_had(self):
        out = ["--out", self.work / "x"]
        self.fails("quantize", self.model, "--data", self.data, *out, "--activation-bits", "4",
                   says=["--activation-bits 4", "--weight-bits 4"])
        for target in ("tensorrt", "openvino"):
            self.fails("quantize", self.model, "--data", self.data, *out, *NARROW, "--qdq-target", target,
                       says=["fc", "4-bit activations", "--qdq-target"])
        self.run_amct("quantize", self.model, "--data", self.data, *out, *NARROW, "--qdq-target", "tensorrt", "--emit", "fake")
        plan = self.plan("x")
        for layer in plan["layers"]:
            layer["activation"] = {"bits": 4}
        (self.work / "plan.json").write_text(json.dumps(plan))
        self.faults("quantize", self.model, "--data", self.data, *out, "--config", self.work / "plan.json", "--strict",
                    says=[[name, "8-bit activation instead of 4"] for name in ("conv1", "dw", "pw")])

    def test_recurrent_layers_keep_8_bits(self):
        needs_assets(self)
        item = asset("dtln_1")
        report = self.run_json("quantize", item.path, *data_for(item, self.work), "--samples", "4", "--out", self.work / "r",
                               *NARROW)
        lines = [line for line in report["downgrades"] if "8-bit activation instead of 4: it is a recurrent layer" in line]
        self.assertEqual(len(lines), 2, report["downgrades"])


if __name__ == "__main__":
    unittest.main()

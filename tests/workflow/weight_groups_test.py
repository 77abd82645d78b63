"""Weights with a scale for each group of inputs: what the files hold, from the formula, and who does not take them."""

import pathlib
import unittest

import numpy as np
from onnx import TensorProto, helper

from support.command_test import SEED
from support.measures import sqnr
from support.models import save_model
from support.qdq_file import File, QdqCase


def matrix_network(path, inputs=72):
    """MatMul with a bias Add, Relu, Gemm with transB, MatMul: 72 inputs are two groups of 32 and one of 8."""
    rng = np.random.default_rng(SEED)
    constants = {"a": rng.normal(0, 0.3, (inputs, 64)) * np.geomspace(0.05, 2, inputs)[:, None],
                 "a_bias": rng.normal(0, 0.1, 64), "b": rng.normal(0, 0.2, (48, 64)), "b_bias": rng.normal(0, 0.1, 48),
                 "c": rng.normal(0, 0.2, (48, 5))}
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h0"], "first"), helper.make_node("Add", ["h0", "a_bias"], ["h1"], "add"),
             helper.make_node("Relu", ["h1"], ["h2"], "relu"),
             helper.make_node("Gemm", ["h2", "b", "b_bias"], ["h3"], "second", transB=1),
             helper.make_node("MatMul", ["h3", "c"], ["y"], "third")]
    save_model(path, nodes, [("x", ["N", inputs])], [("y", ["N", 5])], constants)
    return constants


class WeightGroups(QdqCase):
    def setUp(self):
        super().setUp()
        self.model = self.work / "matrices.onnx"
        self.constants = matrix_network(self.model)
        self.samples = np.random.default_rng(SEED + 2).normal(0, 1, (40, 72)).astype(np.float32)
        np.save(self.data, self.samples)

    def grouped(self, weight, axis, bits, group=32):
        """What the file's integers stand for, from the formula."""
        weight = np.asarray(weight, np.float32)
        result = np.empty_like(weight)
        for begin in range(0, weight.shape[axis], group):
            part = tuple(slice(begin, begin + group) if i == axis else slice(None) for i in range(2))
            high, low = np.abs(weight[part].max(axis, keepdims=True)), np.abs(weight[part].min(axis, keepdims=True))
            scale = np.where(high < low, low / np.float32(2 ** (bits - 1)), high / np.float32(2 ** (bits - 1) - 1))
            scale = scale.astype(np.float32)
            result[part] = np.clip(np.round(weight[part] / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale
        return result

    def test_file_holds_blocks(self):
        for bits, activation in ((4, 8), (8, 16)):
            with self.subTest(bits=bits):
                file = self.qdq("--weight-group", 32, "--weight-bits", bits, "--activation-bits", activation)
                self.assertEqual(file.opset, 21)
                for layer, name, axis in (("first", "a", 0), ("second", "b", 1), ("third", "c", 0)):
                    node = file.producer[next(n for n in file.nodes if n.name == layer).input[1]]
                    self.assertEqual({a.name: a.i for a in node.attribute}, {"axis": axis, "block_size": 32})
                    self.assertEqual(file.dtype(node.input[0]), TensorProto.INT4 if bits == 4 else TensorProto.INT8)
                    integers = file.array(node.input[0]).astype(np.float32)
                    scales = np.repeat(file.array(node.input[1]), 32, axis).take(range(integers.shape[axis]), axis)
                    np.testing.assert_allclose(integers * scales, self.grouped(self.constants[name], axis, bits),
                                               rtol=1e-6)

    def test_files_agree_and_groups_are_better(self):
        reference = File(self.model).run({"x": self.samples})
        ratios = {}
        for group in ((), ("--weight-group", 32), ("--weight-group", 64)):
            file = self.qdq("--weight-bits", 4, *group)
            ratios[group] = sqnr(reference, file.run({"x": self.samples}))
            fake = File(self.work / "q_fake_quant_model.onnx").run({"x": self.samples})
            self.assertLess(abs(sqnr(reference, fake) - ratios[group]), 1.5)
        self.assertGreater(ratios["--weight-group", 32], ratios["--weight-group", 64])
        self.assertGreater(ratios["--weight-group", 64], ratios[()])

    def test_the_deploy_model_says_why_not(self):
        report = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "g", "--weight-group", 32,
                               "--weight-bits", 4)
        self.assertTrue(any("no deploy model" in line for line in report["warnings"]), report["warnings"])
        names = sorted(path.name for path in self.work.glob("g_*"))
        self.assertEqual(names, ["g_fake_quant_model.onnx", "g_plan.json", "g_qdq.onnx"])
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "g2/q", "--weight-group", 32,
                   "--emit", "deploy", code=2, says=["no deploy model can have groups of weights", "--emit fake,qdq"])

    def test_groups_that_a_target_does_not_take_are_refused_by_layer(self):
        for extra, layers, text in (
                ((), 3, "ONNX Runtime (CPU) takes no groups of 8-bit weights beside 8-bit activations"),
                (("--weight-bits", 4, "--qdq-target", "tensorrt", "--skip", "second,third"), 2, "TensorRT takes no groups"),
                (("--qdq-target", "openvino"), 2, "OpenVINO (CPU) takes no groups of 32 of its")):
            with self.subTest(extra=extra):
                result = self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "n/q",
                                       "--weight-group", 32, *extra, code=1)
                self.assertEqual(result.stderr.count("error: "), layers, result.stderr)
                self.assertIn(text, result.stderr)
        self.assertFalse((self.work / "n").exists())

    def test_the_plan_keeps_groups(self):
        self.qdq("--weight-group", 64, "--weight-bits", 4)
        again = self.work / "again"
        self.run_amct("quantize", self.model, "--data", self.data, "--out", again, "--config", self.work / "q_plan.json")
        self.assertEqual((self.work / "q_plan.json").read_text(), pathlib.Path(f"{again}_plan.json").read_text())

    def test_sizes_that_are_no_groups(self):
        for size in ("16", "33", "0", "-32", "many"):
            self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "n/q", "--weight-group", size,
                          code=1)
        self.assertFalse((self.work / "n").exists())

    def test_a_model_without_matrices(self):
        self.fails("quantize", self.work / "small.onnx", "--data", self.data, "--out", self.work / "n/q",
                   "--weight-group", 32, "--skip", "fc", says=["no Gemm or MatMul layer"])


if __name__ == "__main__":
    unittest.main()

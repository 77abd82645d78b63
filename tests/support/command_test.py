"""What the command-line tests share: a small network, data for it, and a way to run the program."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
from onnx import helper

from support.models import save_model
from support.program import AMCT

SEED = int(os.environ.get("AMCT_SEED", "20240917"))


def small_network(path, *, batch="N", opset=13, scale=1.0, weights=None):
    """Convolution, batch norm, ReLU, depthwise, residual Add, global pooling, Gemm, Softmax on 3x12x10 images, 7 classes."""
    rng = np.random.default_rng(SEED)
    constants = {
        "conv1.weight": rng.normal(0, 0.4 * scale, (9, 3, 3, 3)),
        "bn1.scale": rng.uniform(0.5, 1.5, 9),
        "bn1.bias": rng.normal(0, 0.2, 9),
        "bn1.mean": rng.normal(0, 0.2, 9),
        "bn1.var": rng.uniform(0.5, 2, 9),
        "dw.weight": rng.normal(0, 0.4, (9, 1, 3, 3)),
        "dw.bias": rng.normal(0, 0.1, 9),
        "pw.weight": rng.normal(0, 0.4, (9, 9, 1, 1)),
        "fc.weight": rng.normal(0, 0.5, (7, 9)),
        "fc.bias": rng.normal(0, 0.1, 7),
    }
    constants.update(weights or {})
    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight"], ["c1"], "conv1", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c1", "bn1.scale", "bn1.bias", "bn1.mean", "bn1.var"], ["b1"], "bn1"),
        helper.make_node("Relu", ["b1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "dw.weight", "dw.bias"], ["d1"], "dw", pads=[1, 1, 1, 1], group=9),
        helper.make_node("Relu", ["d1"], ["r2"], "relu2"),
        helper.make_node("Conv", ["r2", "pw.weight"], ["p1"], "pw"),
        helper.make_node("Add", ["p1", "r1"], ["a1"], "add"),
        helper.make_node("GlobalAveragePool", ["a1"], ["g1"], "gap"),
        helper.make_node("Flatten", ["g1"], ["f1"], "flatten"),
        helper.make_node("Gemm", ["f1", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax", axis=1),
    ]
    return save_model(path, nodes, [("x", [batch, 3, 12, 10])], [("probabilities", [batch, 7])], constants, opset=opset)


class CommandTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name)
        self.model = self.work / "small.onnx"
        small_network(self.model)
        self.data = self.work / "data.npy"
        self.samples = np.random.default_rng(SEED + 1).normal(0, 1, (20, 3, 12, 10)).astype(np.float32)
        np.save(self.data, self.samples)

    def run_amct(self, *arguments, code=0, **options):
        result = subprocess.run([AMCT, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
        self.assertEqual(result.returncode, code, f"amct {arguments}\n{result.stdout}\n{result.stderr}")
        return result

    def run_json(self, *arguments):
        return json.loads(self.run_amct(*arguments, "--json").stdout)

    def quantize(self, *extra, out="out/small", code=0):
        prefix = self.work / out
        self.run_amct("quantize", self.model, "--data", self.data, "--out", prefix, *extra, code=code)
        return prefix

    def plan(self, prefix):
        return json.loads(pathlib.Path(f"{self.work / prefix}_plan.json").read_text())

    def layers(self, prefix):
        """The plan's layers by name."""
        return {layer["name"]: layer for layer in self.plan(prefix)["layers"]}

    def files(self, prefix):
        """What was written below a prefix: the rest of each name -> bytes."""
        prefix = self.work / prefix
        return {path.name[len(prefix.name):]: path.read_bytes() for path in prefix.parent.iterdir()
                if path.name.startswith(prefix.name)}

    def fails(self, *arguments, code=1, says=()):
        """One line on standard error that holds every text of `says`; nothing else is left behind."""
        return self.faults(*arguments, code=code, says=[says])[0]

    def faults(self, *arguments, code=1, says=()):
        """One such line for every list of texts in `says`, in this order."""
        result = self.run_amct(*arguments, code=code)
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(lines), len(says), result.stderr)
        for line, texts in zip(lines, says):
            for text in texts:
                self.assertIn(text, line)
        self.assertEqual(result.stdout, "")
        return lines

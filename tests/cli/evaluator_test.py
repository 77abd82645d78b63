"""A user's own code as the judge: a Python class under the name of AMCT's command line, a command under amct's."""

import json
import os
import pathlib
import sys
import unittest

import onnxruntime
import numpy as np

from support.amct_onnx import BATCH, AmctOnnx
from support.command_test import CommandTest, small_network

CLASS = """
import numpy as np
import onnxruntime
{head}

class MyEvaluator{base}:
    def __init__(self):
        print("user's own words")
        self.calls = []

    def calibration(self, model_file):
        self.calls.append("calibration")
        samples = np.load(r"{samples}")
        session = onnxruntime.InferenceSession(model_file{options})
        for i in range(0, len(samples), {batch}):
            session.run(None, {{"x": samples[i:i + {batch}]}})

    def evaluate(self, model_file):
        self.calls.append(model_file)
        return float(onnxruntime.InferenceSession(model_file).run(None, {{"x": np.load(r"{samples}")}})[0].sum())

    def metric_eval(self, original, quantized):
        print(self.calls)
        return {verdict}
"""


class PythonClass(AmctOnnx):
    def setUp(self):
        super().setUp()
        np.save(self.work / "samples.npy", self.samples)

    def script(self, *, head="", base="", options="", verdict="abs(original - quantized) < 1e9, original - quantized",
               text=None, name="judge.py"):
        text = text or CLASS.format(head=head, base=base, options=options, verdict=verdict, batch=BATCH,
                                    samples=self.work / "samples.npy")
        (self.work / name).write_text(text)
        return name

    def calibrate(self, script, *extra, code=0, prefix="e/small"):
        path = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
        scratch = self.work / "tmp"
        scratch.mkdir(exist_ok=True)
        result = self.run_amct("calibration", "--model=small.onnx", f"--save_path={prefix}", f"--evaluator={script}",
                               *extra, code=code, environment={"PATH": path, "TMPDIR": str(scratch)})
        self.assertEqual(list(scratch.glob("amct*")), [])  # ONNX Runtime leaves a file of its own there
        return result

    def sum_of(self, model):
        return float(onnxruntime.InferenceSession(model).run(None, {"x": self.samples})[0].sum())

    def test_it_feeds_the_calibration_and_judges(self):
        self.run_amct(*self.command(batch_num=len(self.samples) // BATCH))
        result = self.calibrate(self.script(), "--json")
        self.assertEqual(self.record("e/small"), self.record())
        self.assertNotIn("own words", result.stdout)
        self.assertIn("user's own words", result.stderr)
        self.assertIn("['calibration', 'small.onnx', 'e/small_fake_quant_model.onnx']", result.stderr)
        verdict = json.loads(result.stdout)["evaluator"]
        before, after = self.sum_of(self.model), self.sum_of(self.work / "e/small_fake_quant_model.onnx")
        self.assertNotEqual(before, after)
        self.assertAlmostEqual(verdict["original"], before, 3)
        self.assertAlmostEqual(verdict["quantized"], after, 3)
        self.assertAlmostEqual(verdict["loss"], before - after, 3)
        self.assertIs(verdict["satisfied"], True)

    def test_batch_num_takes_the_first_batches(self):
        self.run_amct(*self.command(batch_num=2))
        self.calibrate(self.script(), "--batch_num=2")
        self.assertEqual(self.record("e/small"), self.record())
        config = self.work / "two.cfg"
        config.write_text("batch_num: 2")
        self.calibrate(self.script(), f"--calibration_config={config}", prefix="c/small")
        self.assertEqual(self.record("c/small"), self.record())
        self.assertIn("batch_num is 99", self.calibrate(self.script(), "--batch_num=99", code=1, prefix="f/s").stderr)

    def test_batches_of_different_sizes_are_counted_as_they_are(self):
        sizes = (8, 8, 3, 1)
        text = pathlib.Path(self.work / self.script()).read_text()
        cut = text.index("        for i in range"), text.index("    def evaluate")
        text = text[:cut[0]] + (f"        for i, n in zip((0, 8, 16, 19), {sizes}):\n"
                                "            session.run(None, {'x': samples[i:i + n]})\n\n") + text[cut[1]:]
        for number, batches in enumerate((2, 3, 4), 1):
            prefix = f"e{number}/small"
            result = self.calibrate(self.script(text=text), f"--batch_num={batches}", "--json", prefix=prefix)
            self.assertEqual(json.loads(result.stdout)["samples"], sum(sizes[:batches]))
            self.assertEqual("batches of 8 and of 3 samples" in result.stderr, batches == 4)

    def test_a_session_class_that_was_imported_by_name(self):
        self.run_amct(*self.command(batch_num=len(self.samples) // BATCH))
        text = pathlib.Path(self.work / self.script()).read_text()
        text = text.replace("onnxruntime.InferenceSession", "InferenceSession")
        self.calibrate(self.script(text="from onnxruntime import InferenceSession\n" + text))
        self.assertEqual(self.record("e/small"), self.record())

    def test_scripts_that_import_amcts_package(self):
        script = self.script(head="import amct_onnx as amct\nfrom amct_onnx.common.auto_calibration import "
                                  "AutoCalibrationEvaluatorBase as Evaluator", base="(Evaluator)",
                             options=", amct.AMCT_SO", verdict="False, 0.25")
        result = self.calibrate(script)
        self.assertRegex(result.stdout, r"evaluator  \S+ -> \S+, loss 0.25: not satisfied")
        self.assertIn("not satisfied with the quantized model", result.stderr)

    def test_faults_name_the_file_and_line(self):
        cases = [
            ("import nothing_of_the_kind\n", ["ModuleNotFoundError", "judge.py:1"]),
            ("def f(:\n", ["SyntaxError", "judge.py:1"]),
            ("import amct_onnx\n\nx = amct_onnx.save_model\n", ["save_model", "judge.py:3"]),
            ("class A:\n  def evaluate(self, m): pass\n", ["0 classes", "calibration, evaluate, metric_eval"]),
            ("import os\nos._exit(3)\n", ["ended without an answer", "judge.py"]),
            ("import sys\nsys.exit(3)\n", ["SystemExit", "judge.py:2"]),
            (self.class_with("return 'x'", "return 1, 2"), ["evaluator failed with ValueError", "judge.py"]),
            (self.class_with("return float('nan')", "return 1, 2"), ["evaluate() gave nan"]),
            (self.class_with("return 1", "return 5"), ["TypeError"]),
            (self.class_with("return 1", "return 1, 2", "pass"), ["never ran the model"]),
        ]
        for text, says in cases:
            with self.subTest(text=text):
                stderr = self.calibrate(self.script(text=text), code=1).stderr.strip().splitlines()[-1]
                for part in says:
                    self.assertIn(part, stderr)

    def class_with(self, evaluate, judge, calibration=None):
        run = calibration or f"onnxruntime.InferenceSession(m).run(None, {{'x': np.load(r'{self.work}/samples.npy')}})"
        return (f"import numpy as np, onnxruntime\nclass A:\n  def calibration(self, m): {run}\n"
                f"  def evaluate(self, m): {evaluate}\n  def metric_eval(self, a, b): {judge}\n")


class Command(CommandTest):
    def measured(self, command, *extra):
        report = json.loads(self.run_amct("quantize", self.model, "--data", self.data, "--out", self.work / "o/small",
                                          "--evaluate-with", command, "--json", *extra).stdout)
        return report["evaluator"]

    def test_the_last_line_is_the_metric(self):
        self.model = self.work / "a model's.onnx"
        small_network(self.model)
        verdict = self.measured("echo reading; stat -c ' %s' {model}; echo")
        self.assertEqual(verdict, {"original": os.path.getsize(self.model), "satisfied": None, "loss": None,
                                   "quantized": os.path.getsize(self.work / "o/small_fake_quant_model.onnx")})
        verdict = self.measured("stat -c %s {model}", "--emit", "qdq,deploy")
        self.assertEqual(verdict["quantized"], os.path.getsize(self.work / "o/small_qdq.onnx"))

    def test_what_is_refused(self):
        for command, emit, says in (("echo 1", "fake", ["{model}"]), ("echo {model}; false", "fake", ["status 1"]),
                                    ("true {model}", "fake", ["printed nothing"]),
                                    ("echo 12 apples of {model}", "fake", ["'12 apples of", "no number"]),
                                    ("echo nan; : {model}", "fake", ["no number"]),
                                    ("kill -9 $$; {model}", "fake", ["status 137"]),
                                    ("echo 1; : {model}", "deploy", ["--emit"])):
            with self.subTest(command=command):
                self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "n/small", "--emit", emit,
                           "--evaluate-with", command, says=says)
                self.assertFalse((self.work / "n").exists())


if __name__ == "__main__":
    unittest.main()

"""The subcommands as a user types them: results, JSON, determinism."""

import json
import pathlib
import shlex
import shutil
import unittest

import numpy as np
import onnx

from support.command_test import CommandTest, small_network
from support.onnx_runtime import session


class Commands(CommandTest):
    def test_quant_json_names_what_was_folded_into_a_layer(self):
        prefix = self.quantize("--emit", "deploy")
        layers = json.loads(prefix.with_name("small_quant.json").read_text())["layers"]
        self.assertEqual(next(layer["original"] for layer in layers if layer["name"] == "conv1"), ["conv1", "bn1"])

    def test_version_and_help(self):
        self.assertRegex(self.run_amct("--version").stdout, r"^amct \d+\.\d+\.\d+")
        for command in ("quantize", "convert", "config", "evaluate", "compare", "inspect", "run", "ops", "passes", "completion"):
            text = self.run_amct(command, "--help")
            self.assertIn("Example", text.stdout)
            self.assertEqual(text.stderr, "")

    def test_global_options_stand_before_and_after_the_subcommand(self):
        before = self.run_amct("--json", "inspect", self.model).stdout
        after = self.run_amct("inspect", self.model, "--json").stdout
        self.assertEqual(before, after)

    def test_inspect_names_layers_and_reasons(self):
        layers = {layer["name"]: layer for layer in self.run_json("inspect", self.model)["layers"]}
        self.assertEqual(layers["conv1"]["type"], "Conv")
        self.assertTrue(layers["conv1"]["quantizable"])
        self.assertFalse(layers["softmax"]["quantizable"])
        self.assertNotEqual(layers["softmax"]["reason"], "")

    def test_run_equals_onnx_runtime(self):
        np.save(self.work / "x.npy", self.samples[:3])
        self.run_amct("run", self.model, "--input", f"x={self.work / 'x.npy'}", "--out", self.work / "results")
        ours = np.load(self.work / "results/probabilities.npy")
        theirs = session(self.model).run(None, {"x": self.samples[:3]})[0]
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def test_run_says_where_the_time_goes(self):
        np.save(self.work / "x.npy", self.samples[:3])
        arguments = ("run", self.model, "--input", f"x={self.work / 'x.npy'}", "--out", self.work / "results",
                     "--prepare", "--profile", "--runs", 4)
        text = self.run_amct(*arguments).stdout
        self.assertIn("conv1 + relu1", text)
        self.assertIn("each the median of 4 runs", text)
        profile = self.run_json(*arguments)["profile"]
        self.assertEqual(profile["runs"], 4)
        trace = json.loads((self.work / "results/trace.json").read_text())
        self.assertEqual(len(trace["traceEvents"]), 4 * len(profile["steps"]))
        self.run_amct("run", self.model, "--out", self.work, "--runs", 4, code=1)

    def test_quantized_files_run_in_onnx_runtime_and_agree(self):
        prefix = self.quantize()
        for suffix in ("_qdq.onnx", "_fake_quant_model.onnx"):
            path = f"{prefix}{suffix}"
            onnx.checker.check_model(path, full_check=True)
            theirs = session(path).run(None, {"x": self.samples})[0]
            original = session(self.model).run(None, {"x": self.samples})[0]
            self.assertGreater(np.mean(theirs.argmax(1) == original.argmax(1)), 0.8, suffix)
        comparison = self.run_json("compare", self.model, f"{prefix}_fake_quant_model.onnx", "--data", self.data)
        self.assertGreater(comparison["logit_sqnr_db"], 15)
        self.assertEqual(comparison["samples"], 20)
        self.assertEqual({"conv1", "dw", "pw", "fc"} - {layer["name"] for layer in comparison["layers"]}, set())

    def test_deploy_model_equals_the_simulation(self):
        prefix = self.quantize()
        comparison = self.run_json("compare", f"{prefix}_fake_quant_model.onnx", f"{prefix}_deploy_model.onnx", "--data",
                                   self.data)
        self.assertLess(comparison["outputs"][0]["largest_difference"], 1e-6)

    def test_records_do_not_depend_on_threads_or_batch(self):
        records = set()
        for threads, batch in ((1, 1), (2, 3), (3, 8), (8, 1)):
            prefix = self.quantize("--threads", threads, "--batch", batch, out=f"out/t{threads}b{batch}")
            records.add(open(f"{prefix}_record.txt").read())
        self.assertEqual(len(records), 1)

    def test_records_do_not_depend_on_the_order_of_samples(self):
        first = open(f"{self.quantize()}_record.txt").read()
        np.save(self.data, self.samples[np.random.default_rng(3).permutation(20)])
        self.assertEqual(open(f"{self.quantize(out='out/shuffled')}_record.txt").read(), first)

    def test_a_fixed_batch_gives_the_same_record(self):
        first = open(f"{self.quantize()}_record.txt").read()
        small_network(self.model, batch=3)  # 20 samples: the last run has two
        fixed = open(f"{self.quantize(out='out/fixed')}_record.txt").read()
        scale = lambda text: [float(l.split(":")[1]) for l in text.splitlines() if "scale_d" in l]
        np.testing.assert_allclose(scale(fixed), scale(first), rtol=1e-4)

    def test_evaluate_counts_classes(self):
        classes = session(self.model).run(None, {"x": self.samples})[0].argmax(1)
        classes[:5] = (classes[:5] + 1) % 7
        np.save(self.work / "labels.npy", classes)
        result = self.run_json("evaluate", self.model, "--data", self.data, "--labels", self.work / "labels.npy")
        self.assertEqual(result["top1"], 75.0)
        self.assertEqual(result["samples"], 20)

    def test_the_next_command_can_be_typed_as_it_stands(self):
        folder = self.work / "a user's folder"
        folder.mkdir()
        model, data = folder / "small.onnx", folder / "data.npy"
        shutil.copy(self.model, model)
        shutil.copy(self.data, data)
        result = self.run_amct("quantize", model, "--data", data, "--out", folder / "q")
        command = next(line for line in result.stdout.splitlines() if line.startswith("next ")).split(None, 2)[2]
        self.run_amct(*shlex.split(command))

    def test_a_plan_can_be_edited_and_used_again(self):
        prefix = self.quantize("--skip", "dw")
        self.assertNotIn("dw", open(f"{prefix}_record.txt").read())
        again = self.quantize("--config", f"{prefix}_plan.json", out="out/again")
        self.assertEqual(open(f"{prefix}_record.txt").read(), open(f"{again}_record.txt").read())

    def test_search_chooses_the_method_for_every_activation(self):
        records = set()
        for method in ("ifmr", "hfmg", "min_max", "percentile", "mse", "kl"):
            prefix = self.quantize("--search", method, out=f"s/{method}")
            plan = self.plan(prefix)
            found = {item["activation"]["search"]["method"] for item in plan["layers"] + plan["tensors"]}
            self.assertEqual(found, {method})
            records.add(pathlib.Path(f"{prefix}_record.txt").read_text())
        self.assertGreaterEqual(len(records), 5)  # on few samples two of them may agree
        self.assertIn(self.quantize(out="s/default").with_name("default_record.txt").read_text(), records)
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "n/x", "--search", "kl", "--config",
                   self.work / "s/kl_plan.json", says=["--search and --config exclude each other"])
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "n/x", "--search", "best",
                   says=["--search"])

    def test_emit_writes_what_was_asked_for(self):
        prefix = self.quantize("--emit", "qdq")
        names = sorted(p.name for p in prefix.parent.iterdir())
        self.assertIn("small_qdq.onnx", names)
        self.assertNotIn("small_deploy_model.onnx", names)
        self.assertNotIn("small_fake_quant_model.onnx", names)

    def test_completion_knows_the_subcommands(self):
        script = self.run_amct("completion", "bash").stdout
        for word in ("quantize", "--preprocess", "--threads"):
            self.assertIn(word, script)


if __name__ == "__main__":
    unittest.main()

"""Faulty input: one line that says what, where and what to do; the right exit code; no output file; no crash."""

import os
import pathlib
import random
import resource
import signal
import subprocess
import time
import unittest

import numpy as np
import onnx

from support import AMCT, SEED, CommandTest, small_network


class BadInput(CommandTest):
    def out(self):
        return self.work / "out/small"

    def quantize_fails(self, *extra, code=1, says=(), model=None, data=None):
        line = self.fails("quantize", model or self.model, "--data", data or self.data, "--out", self.out(), *extra,
                          code=code, says=says)
        left = list(self.out().parent.iterdir()) if self.out().parent.exists() else []
        self.assertEqual(left, [])
        return line

    def test_files_that_are_no_model(self):
        for content in (b"", b"hello world, this is text", b"PK\x03\x04 a zip file", b"\x89PNG\r\n\x1a\n", os.urandom(2000)):
            path = self.work / "not_a_model.onnx"
            path.write_bytes(content)
            self.fails("inspect", path, says=["not_a_model.onnx"])
        self.fails("inspect", self.work / "missing.onnx", says=["missing.onnx"])
        self.fails("inspect", self.work, says=[str(self.work)])

    def test_truncated_model(self):
        content = self.model.read_bytes()
        path = self.work / "cut.onnx"
        for size in range(0, len(content), 97):
            path.write_bytes(content[:size])
            self.fails("inspect", path, says=["cut.onnx"])

    def test_weights_that_are_no_numbers_are_named(self):
        for bad in (np.nan, np.inf):
            weight = np.zeros((9, 1, 3, 3))
            weight[4, 0, 1, 2] = bad
            small_network(self.model, weights={"dw.weight": weight})
            self.quantize_fails(says=["dw"])

    def test_activations_that_are_no_numbers_are_named(self):
        self.samples[3, 1, 2, 2] = np.nan
        np.save(self.data, self.samples)
        self.quantize_fails(says=["conv1"])

    def test_data_that_does_not_fit(self):
        empty = self.work / "empty"
        empty.mkdir()
        self.quantize_fails(data=empty, says=["empty"])
        np.save(self.work / "shape.npy", np.zeros((4, 3, 11, 10), np.float32))
        self.quantize_fails(data=self.work / "shape.npy", says=["x", "12", "11"])
        np.save(self.work / "type.npy", np.zeros((4, 3, 12, 10), np.complex64))
        self.quantize_fails(data=self.work / "type.npy", says=["type.npy"])
        broken = self.work / "broken"
        broken.mkdir()
        (broken / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
        self.quantize_fails("--preprocess", "unit", data=broken, says=["a.jpg"])

    def test_places_that_cannot_be_written(self):
        file = self.work / "file"
        file.write_text("")
        self.fails("quantize", self.model, "--data", self.data, "--out", file / "below", says=["file"])

    def test_a_full_disk_leaves_nothing(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        result = self.run_amct("quantize", self.model, "--data", self.data, "--out", self.out(), code=1, preexec_fn=no_room)
        self.assertIn("error: cannot write", result.stderr)
        self.assertEqual(list(self.out().parent.iterdir()), [])

    def test_faulty_command_lines(self):
        self.fails("quantize", self.model, "--out", self.out(), says=["--data", "--help"])
        self.fails(says=["command", "amct --help"])
        self.fails("quantise", self.model, says=["'quantise'", "'quantize'"])
        self.fails("frobnicate", self.model, says=["'frobnicate'", "amct --help"])
        self.quantize_fails("--skp", "conv1", says=["'--skp'", "'--skip'"])
        self.fails("inspect", self.model, "--colour=red", says=["'--colour'", "amct inspect --help"])
        self.fails("quantize", self.model, "--data", self.data, "--out", self.out(), "--samples", "0", says=["--samples"])
        self.quantize_fails("--skip", "conv2", says=["conv2", "conv1"])
        self.quantize_fails("--preprocess", "imagnet", says=["imagnet", "imagenet"])

    def test_faulty_plans_name_file_line_and_the_nearest_layer(self):
        prefix = self.quantize(out="first/small")
        plan = pathlib.Path(f"{prefix}_plan.json")
        text = plan.read_text()
        self.assertIn('"dw"', text)
        plan.write_text(text.replace('"dw"', '"dv"', 1))
        self.quantize_fails("--config", plan, says=["dv", "dw", plan.name])
        plan.write_text(text[: len(text) // 2])
        self.quantize_fails("--config", plan, says=[plan.name])

    def test_killed_at_any_time_leaves_no_half_written_file(self):
        start = time.perf_counter()
        self.quantize(out="whole/small")
        duration = time.perf_counter() - start
        whole = {p.name: p.read_bytes() for p in (self.work / "whole").iterdir()}
        rng = random.Random(SEED)
        for _ in range(15):
            target = self.work / "killed"
            process = subprocess.Popen([AMCT, "quantize", self.model, "--data", self.data, "--out", target / "small"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, duration))
            process.kill()
            process.wait()
            for path in target.iterdir() if target.exists() else ():
                if path.name.startswith("."):
                    path.unlink()  # a temporary name: never taken for a result
                else:
                    self.assertEqual(path.read_bytes(), whole[path.name], path.name)

    def test_unusual_but_legal(self):
        np.save(self.data, np.zeros_like(self.samples))
        small_network(self.model, weights={"pw.weight": np.zeros((9, 9, 1, 1))})
        result = self.run_amct("quantize", self.model, "--data", self.data, "--samples", "500", "--out", self.out())
        text = result.stdout + result.stderr
        self.assertIn("500", text)  # fewer samples than asked for
        self.assertIn("conv1", text)  # a constant activation
        record = pathlib.Path(f"{self.out()}_record.txt").read_text()
        self.assertIn("offset_d: -128", record)

    def test_input_files_are_left_alone(self):
        before = {p: p.read_bytes() for p in self.work.iterdir() if p.is_file()}
        self.quantize()
        for path, content in before.items():
            self.assertEqual(path.read_bytes(), content)

    def test_unknown_operators_are_kept_and_said(self):
        model = onnx.load(str(self.model))
        node = onnx.helper.make_node("Mystery", ["logits"], ["strange"], "mystery", domain="org.example")
        model.graph.node.append(node)
        model.graph.output.append(onnx.helper.make_tensor_value_info("strange", onnx.TensorProto.FLOAT, ["N", 7]))
        model.opset_import.append(onnx.helper.make_opsetid("org.example", 1))
        onnx.save(model, str(self.model))
        layers = {layer["name"]: layer for layer in self.run_json("inspect", self.model)["layers"]}
        self.assertFalse(layers["mystery"]["quantizable"])


if __name__ == "__main__":
    unittest.main()

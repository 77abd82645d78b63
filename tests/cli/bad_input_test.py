"""Faulty input: one line that says what, where and what to do; the right exit code; no output file; no crash."""

import pathlib
import random
import re
import resource
import signal
import subprocess
import time
import unittest

import numpy as np
import onnx

from support.command_test import SEED, CommandTest, small_network
from support.program import AMCT


class BadInput(CommandTest):
    def out(self):
        return self.work / "out/small"

    def quantize_fails(self, *extra, code=1, says=(), model=None, data=None):
        line = self.fails("quantize", model or self.model, "--data", data or self.data, "--out", self.out(), *extra,
                          code=code, says=says)
        left = list(self.out().parent.iterdir()) if self.out().parent.exists() else []
        self.assertEqual(left, [])
        return line

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
        self.quantize_fails(data=empty, says=["empty", "JPEG"])
        self.quantize_fails(data=self.work / "nowhere", says=["nowhere"])
        self.quantize_fails(data=self.model, says=["small.onnx", ".npy"])
        for shape, says in (((4, 3, 11, 10), ["'x'", "[3, 12, 10]", "[3, 11, 10]"]),
                            ((4, 12, 10, 3), ["'x'", "[3, 12, 10]", "[12, 10, 3]"]),  # channels last
                            ((0, 3, 12, 10), ["no sample"]), ((), ["'x'"])):
            np.save(self.work / "shape.npy", np.zeros(shape, np.float32))
            self.quantize_fails(data=self.work / "shape.npy", says=["shape.npy", *says])
        for kind in ("complex64", "U3", "datetime64[s]"):
            np.save(self.work / "type.npy", np.zeros((4, 3, 12, 10), kind))
            self.quantize_fails(data=self.work / "type.npy", says=["type.npy", "astype"])

    def test_arrays_that_cannot_be_read(self):
        content = self.data.read_bytes()
        path = self.work / "cut.npy"
        for size in (0, 5, 9, 60, 128, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:size])
            self.quantize_fails(data=path, says=["cut.npy"])
        path.write_bytes(content.replace(b"(20, 3,", b"(99, 3,"))
        self.quantize_fails(data=path, says=["cut.npy"])
        archive = self.work / "cut.npz"
        np.savez(archive, x=self.samples, y=self.samples)
        content = archive.read_bytes()
        archive.write_bytes(content[:-30])
        self.quantize_fails(data=archive, says=["cut.npz"])
        np.savez(archive, a=self.samples, b=self.samples)
        self.quantize_fails(data=archive, says=["cut.npz", "'x'", "a, b"])
        raw = self.work / "raw.bin"
        raw.write_bytes(b"\0" * 100)
        self.quantize_fails(data=raw, says=["raw.bin", "--input-shape"])
        self.quantize_fails("--input-shape", "1,3,12,10", data=raw, says=["raw.bin", "100 bytes", "--input-shape"])
        self.quantize_fails("--input-shape", "1,3,x,10", data=raw, says=["'x'", "--input-shape"])
        self.quantize_fails("--input-shape", "x:1,,12,10", data=raw, says=["'' is no extent of 'x'", "--input-shape"])
        self.quantize_fails("--input-shape", "-1,3,-1,10", data=raw, says=["'-1,3,-1,10' has more than one -1"])
        self.quantize_fails("--input-shape", "1,3,12,10", "--data-types", "int99", data=raw, says=["int99"])

    def test_images_that_cannot_be_read(self):
        broken = self.work / "broken"
        broken.mkdir()
        picture = broken / "a.jpg"
        for content in (b"", b"\xff\xd8\xff\xe0 not really", b"\x89PNG\r\n\x1a\n", b"GIF89a, of another kind"):
            picture.write_bytes(content)
            self.quantize_fails("--preprocess", "unit", data=broken, says=["a.jpg"])
            self.quantize_fails(data=broken, says=["--preprocess"])

    def test_labels_are_read_before_samples_run(self):
        self.samples[3, 1, 2, 2] = np.nan  # which calibration would find
        np.save(self.data, self.samples)
        (self.work / "labels.txt").write_text("0 0\n")
        self.faults("quantize", self.model, "--data", self.data, "--labels", self.work / "labels.txt", "--out",
                    self.work / "out/m", says=[*(["labels.txt", f"no label for {i}"] for i in range(1, 6)), ["14 more"]])

    def test_labels_that_do_not_fit(self):
        def fails(content, *says):
            labels = self.work / "labels.txt"
            labels.write_text(content)
            for command in (("evaluate", self.model), ("quantize", self.model, "--out", self.out())):
                self.faults(*command, "--data", self.data, "--labels", labels, says=says)
            self.assertFalse(self.out().parent.exists() and list(self.out().parent.iterdir()))

        whole = [f"{i} {i % 7}\n" for i in range(20)]
        fails("".join(whole[:4] + whole[5:]), ["labels.txt", "no label for 4"])
        fails("".join(whole[:-3]), *(["labels.txt", f"no label for {i}"] for i in (17, 18, 19)))
        fails("".join(whole).replace("4 4\n", "4 cat\n", 1), ["labels.txt:5", "4 cat"])
        fails("".join(whole) + "3 3\n", ["labels.txt:21", "'3'"])
        fails("".join(whole[:6]) + "6 7\n" + "".join(whole[7:]), ["label 7", "7"])
        self.fails("evaluate", self.model, "--data", self.data, "--labels", self.work / "none.txt", says=["none.txt"])
        np.save(self.work / "few.npy", np.zeros(19, np.int64))
        self.fails("evaluate", self.model, "--data", self.data, "--labels", self.work / "few.npy", says=["19", "20"])
        np.save(self.work / "kind.npy", np.zeros(20))
        self.fails("evaluate", self.model, "--data", self.data, "--labels", self.work / "kind.npy", says=["kind.npy"])

    def test_faulty_inputs_of_run(self):
        out = ("--out", self.work / "results")
        np.save(self.work / "kind.npy", self.samples.astype(np.float64))
        np.save(self.work / "shape.npy", self.samples[:, :2])
        given = f"x={self.data}"
        self.fails("run", self.model, *out, says=["'x'", "--input"])
        self.fails("run", self.model, "--input", f"y={self.data}", *out, says=["'y'", "'x'"])
        self.fails("run", self.model, "--input", str(self.data), *out, says=["name=file.npy"])
        self.fails("run", self.model, "--input", given, "--input", given, *out, says=["x", "twice"])
        self.fails("run", self.model, "--input", f"x={self.work / 'gone.npy'}", *out, says=["gone.npy"])
        self.fails("run", self.model, "--input", f"x={self.model}", *out, says=["small.onnx"])
        for name, says in (("kind", ["float64", "float32"]), ("shape", ["[N, 3, 12, 10]", "[20, 2, 12, 10]"])):
            self.fails("run", self.model, "--input", f"x={self.work / name}.npy", *out, says=["'x'", *says])
        self.assertFalse((self.work / "results").exists())

    def test_places_that_cannot_be_written(self):
        file = self.work / "file"
        file.write_text("")
        for prefix in (file / "below", "/proc/amct/small", "/proc/small"):  # /proc: closed to root as well
            self.fails("quantize", self.model, "--data", self.data, "--out", prefix, says=["cannot"])
            self.fails("run", self.model, "--input", f"x={self.data}", "--out", prefix, says=["cannot"])

    def test_a_full_disk_leaves_nothing(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        result = self.run_amct("quantize", self.model, "--data", self.data, "--out", self.out(), code=1, preexec_fn=no_room)
        self.assertIn("error: cannot write", result.stderr)
        self.assertEqual(list(self.out().parent.iterdir()), [])

    def test_results_that_cannot_be_printed(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run([AMCT, "inspect", self.model], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^error: cannot write to standard output: .*\n$")

    def test_more_memory_than_allowed(self):
        few = ("--max-memory", "1K")
        self.quantize_fails(*few, says=["the model needs about 2.", "small.onnx", "allows 1.0 KB"])
        self.fails("inspect", self.model, *few, says=["the model needs about 2."])
        some = ("--max-memory", "40K")
        self.run_amct("inspect", self.model, *some)
        self.quantize_fails(*some, says=["calibrating needs about", "for each of", "allows 40 KB"])
        x = self.work / "x.npy"
        np.save(x, self.samples[:1])
        run = ("run", self.model, "--input", f"x={x}", "--out", self.work / "r")
        little = ("--max-memory", "5K")
        self.fails(*run, *little, says=["running the model needs about"])
        self.assertFalse((self.work / "r").exists())
        labels = self.work / "labels.npy"
        np.save(labels, np.zeros(20, np.int64))
        data = ("--data", self.data)
        self.fails("evaluate", self.model, *data, "--labels", labels, *little, says=["needs about"])
        self.fails("compare", self.model, self.model, *data, *little, says=["needs about"])
        enough = ("--max-memory", "1.5GB")
        self.run_amct(*run, *enough)
        self.quantize(*enough)
        # One thread fits where three do not.
        line = self.fails("quantize", self.model, *data, "--out", self.work / "more/x", "--threads", 3, "--max-memory",
                          "400K", says=["--threads"])
        fitting = re.search(r"--threads (\d) would fit", line)
        self.assertIsNotNone(fitting, line)
        self.quantize("--threads", fitting.group(1), "--max-memory", "400K", out="more/x")
        for bad in ("", "much", "-1G", "0", "1X", "nan", "1e30G", "1GBB"):
            self.fails("inspect", self.model, f"--max-memory={bad}", says=["--max-memory"])

    def test_names_cannot_command_the_terminal(self):
        model = small_network(self.model)
        model.graph.node[0].input[1] = "no\x1b[2J\nwhere"
        self.model.write_bytes(model.SerializeToString())
        self.fails("inspect", self.model, says=["no\\x1b[2J where"])

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
        self.quantize_fails("--preprocess", "resize=many", says=["resize", "many"])
        self.quantize_fails("--emit", "deploi", says=["deploi"])
        self.quantize_fails("--batch", "-1", says=["--batch"])
        self.quantize_fails("--threads", "none", says=["--threads"])

    def test_faulty_plans_name_file_line_and_the_nearest_layer(self):
        prefix = self.quantize(out="first/small")
        plan = pathlib.Path(f"{prefix}_plan.json")
        text = plan.read_text()
        self.assertIn('"dw"', text)
        plan.write_text(text.replace('"dw"', '"dv"', 1))
        self.quantize_fails("--config", plan, says=["dv", "dw", plan.name])
        plan.write_text(text[: len(text) // 2])
        self.quantize_fails("--config", plan, says=[plan.name])
        self.quantize_fails("--config", self.work / "none.json", says=["none.json"])

    def test_all_faults_of_a_plan_are_said_at_once(self):
        prefix = self.quantize(out="first/small")
        plan = pathlib.Path(f"{prefix}_plan.json")
        lines = plan.read_text().splitlines()
        expected = []
        for number, (old, new) in enumerate((('"bits": 8', '"bits": 3'), ('"method": "ifmr"', '"method": "best"'),
                                             ('"quantize": true', '"quantize": "yes"'), ('"op":', '"opp":'))):
            at = [i for i, line in enumerate(lines) if old in line][number]
            lines[at] = lines[at].replace(old, new)
            expected.append((at, [f"{plan.name}:{at + 1}", new.split('"')[1]]))
        plan.write_text("\n".join(lines))
        self.faults("quantize", self.model, "--data", self.data, "--out", self.out(), "--config", plan,
                    says=[says for _, says in sorted(expected)])
        self.assertFalse(self.out().parent.exists())

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

"""Calibration in parts, in worker processes, and after an interruption: the files are those of one process, byte for
byte; parts that are missing, double, damaged or foreign are refused by name."""

import pathlib
import shutil
import signal
import struct
import subprocess
import time
import unittest

import numpy as np

from support.command_test import AMCT, SEED, CommandTest, small_network

HFMG = "batch_num: 1 common_config { hfmg_quantize { } }"
HEADER, HASH = 24, 8


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def signed(content):
    """The bytes of a part with the right checksum."""
    return content + struct.pack("<Q", fnv(content))


def files(prefix):
    return {p.name[len(prefix.name):]: p.read_bytes() for p in prefix.parent.iterdir() if p.name.startswith(prefix.name)}


class CalibrationTest(CommandTest):
    def parts(self, count, *extra, model=None, data=None, name="part", numbers=None):
        paths = []
        for number in numbers or range(1, count + 1):
            paths.append(self.work / f"{name}{number}.cal")
            self.run_amct("calibrate", model or self.model, "--data", data or self.data, "--shard", f"{number}/{count}",
                          "--out", paths[-1], *extra)
        return paths

    def merge(self, parts, *extra, out="merged/small", model=None, code=0):
        prefix = self.work / out
        self.run_amct("quantize", model or self.model, "--out", prefix, *extra, "--calibration", *parts, code=code)
        return prefix

    def refused(self, parts, *says, extra=()):
        lines = self.faults("quantize", self.model, "--out", self.work / "merged/small", *extra, "--calibration", *parts,
                            says=says)
        self.assertFalse((self.work / "merged").exists())
        return lines


class Parts(CalibrationTest):
    def test_any_number_of_parts_in_any_order_give_the_files_of_one_process(self):
        expected = files(self.quantize("--threads", "2"))
        self.assertEqual(len(expected), 6)
        for count in (1, 2, 3, 7, 23):  # 20 samples: some of 23 shares are empty
            parts = self.parts(count, "--threads", "1")
            for order in (parts, parts[::-1]):
                self.assertEqual(files(self.merge(order)), expected, f"{count} parts")

    def test_settings_reach_the_parts(self):
        config = self.work / "c.cfg"
        config.write_text('skip_layers: "fc" common_config { ifmr_quantize { search_range_start: 0.8 } '
                          'arq_quantize { channel_wise: false } }')
        for extra in (["--config", config], ["--no-bias-correction", "--calibrate-weights", "float"],
                      ["--emit", "deploy"], ["--samples", "11"], ["--samples", "30"]):
            expected = files(self.quantize(*extra))
            parts = self.parts(3, *extra)
            self.assertEqual(files(self.merge(parts, *extra)), expected, extra)
            for path in self.work.glob("*/small*"):
                path.unlink()

    def test_parts_of_a_model_with_a_fixed_batch_split_between_batches(self):
        small_network(self.model, batch=3)
        expected = files(self.quantize())
        parts = self.parts(4)
        self.assertEqual(files(self.merge(parts)), expected)

    def test_balance_takes_two_rounds(self):
        expected = files(self.quantize("--balance"))
        self.assertIn(b"tensor_balance_factor", expected["_record.txt"])
        first = self.parts(3, "--balance", name="first")
        self.refused(first, ["first1.cal", "second round"], extra=["--balance"])
        second = self.parts(3, "--balance", "--calibration", *first, name="second")
        self.refused([*second[:2], first[2]], ["first3.cal", "rounds"], extra=["--balance"])
        self.assertEqual(files(self.merge(second, "--balance")), expected)
        self.fails("calibrate", self.model, "--data", self.data, "--balance", "--shard", "1/3", "--out", self.work / "x.cal",
                   "--calibration", *second, says=["second1.cal", "no second round"])
        self.fails("calibrate", self.model, "--data", self.data, "--balance", "--shard", "1/3", "--out", self.work / "x.cal",
                   "--calibration", *first[:2], says=["samples 13 to 19 of 20", "--shard 3/3"])

    def test_data_beside_the_parts_measures_the_result(self):
        parts = self.parts(2)
        without = self.run_json("quantize", self.model, "--out", self.work / "a/small", "--calibration", *parts)
        measured = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "b/small",
                                 "--calibration", *parts)
        self.assertIsNone(without["sqnr_db"])
        self.assertGreater(measured["sqnr_db"], 10)
        self.assertEqual(measured["samples"], 20)
        self.assertEqual(files(self.work / "a/small"), files(self.work / "b/small"))

    def test_what_a_part_reports(self):
        report = self.run_json("calibrate", self.model, "--data", self.data, "--shard", "2/3", "--out", self.work / "p.cal")
        self.assertEqual(report["shard"], {"number": 2, "count": 3})
        self.assertEqual(report["samples"], {"begin": 6, "end": 13, "all": 20})
        self.assertEqual(report["bytes"], (self.work / "p.cal").stat().st_size)
        self.assertLess(report["bytes"] / report["tensors"], 40000)
        text = self.run_amct("calibrate", self.model, "--data", self.data, "--out", self.work / "p.cal").stdout
        self.assertIn("samples 0 to 19 of 20", text)

    def test_a_share_that_is_done_is_not_done_again(self):
        (part,) = self.parts(3, numbers=[2])
        before = part.stat().st_mtime_ns
        again = self.run_json("calibrate", self.model, "--data", self.data, "--shard", "2/3", "--out", part, "--resume")
        self.assertTrue(again["was_there"])
        self.assertEqual(part.stat().st_mtime_ns, before)
        for extra in (["--skip", "fc"], ["--samples", "19"]):  # another one is
            again = self.run_json("calibrate", self.model, "--data", self.data, "--shard", "2/3", "--out", part, "--resume",
                                  *extra)
            self.assertFalse(again["was_there"])


class RefusedParts(CalibrationTest):
    def test_missing_and_double_parts_are_named(self):
        parts = self.parts(4)
        self.refused([parts[0], parts[3]], ["samples 5 to 14 of 20", "--shard 2/4, 3/4"])
        self.refused([*parts, parts[2]], ["part3.cal", "samples 10 to 14", "give every part once"])
        copy = self.work / "copy.cal"
        shutil.copy(parts[1], copy)
        self.refused([*parts, copy], ["part2.cal", "copy.cal", "samples 5 to 9"])
        self.refused([parts[0], self.work / "nowhere.cal", *parts[1:]], ["nowhere.cal"])

    def test_damaged_parts_are_named(self):
        parts = self.parts(2)
        content = parts[1].read_bytes()
        for size in (0, 7, 8, 20, 31, 32, 100, len(content) // 2, len(content) - 1):
            parts[1].write_bytes(content[:size])
            self.refused(parts, ["part2.cal"])
        for at in (HEADER, 200, len(content) // 2, len(content) - 1):
            damaged = bytearray(content)
            damaged[at] ^= 4
            parts[1].write_bytes(damaged)
            self.refused(parts, ["part2.cal", "damaged", "again"])
        parts[1].write_bytes(content + b"x")
        self.refused(parts, ["part2.cal", "damaged"])
        parts[1].write_bytes(self.model.read_bytes())
        self.refused(parts, ["part2.cal", "no part"])
        parts[1].write_bytes(signed(content[:8] + struct.pack("<Q", 99) + content[16:-HASH]))
        self.refused(parts, ["part2.cal", "version 99"])

    def test_parts_with_a_right_checksum_and_senseless_contents(self):
        rng = np.random.default_rng(SEED)
        parts = self.parts(2)
        content = bytearray(parts[1].read_bytes()[:-HASH])
        for _ in range(60):
            damaged = bytearray(content)
            for at in rng.integers(HEADER, len(damaged), rng.integers(1, 4)):
                damaged[at] = rng.integers(256)
            parts[1].write_bytes(signed(bytes(damaged)))
            result = subprocess.run([AMCT, "quantize", self.model, "--out", self.work / "m/small", "--calibration", *parts],
                                    capture_output=True, text=True, errors="replace", timeout=60)
            self.assertIn(result.returncode, (0, 1), result.stderr)
            if result.returncode == 1:
                self.assertIn("error: ", result.stderr)

    def test_foreign_parts_are_named(self):
        parts = self.parts(2)
        other = self.work / "other.onnx"
        small_network(other, scale=1.1)
        self.refused([parts[0], *self.parts(2, model=other, name="model", numbers=[2])],
                     ["model2.cal", "another model", "other.onnx"])
        self.refused([parts[0], *self.parts(2, "--skip", "fc", name="skip", numbers=[2])],
                     ["skip2.cal", "other settings", "instead of"])
        self.refused(parts, ["part1.cal", "other settings"], ["part2.cal", "other settings"], extra=["--skip", "fc"])
        self.refused(parts, ["part1.cal", "other settings"], ["part2.cal", "other settings"], extra=["--no-bias-correction"])
        self.refused([parts[0], *self.parts(2, "--samples", "18", name="few", numbers=[2])], ["few2.cal", "18", "20"])
        self.refused(parts, ["--samples is 7", "64"], extra=["--samples", "7"])
        np.save(self.work / "o.npy", self.samples * 1.01)
        self.refused([parts[0], *self.parts(2, data=self.work / "o.npy", name="data", numbers=[2])],
                     ["data2.cal", "other data", "part1.cal"])

    def test_other_preprocessing_is_named(self):
        shapes = pathlib.Path(__file__).resolve().parents[2] / "examples/shapes"
        model, data = shapes / "shapes.onnx", shapes / "calibration"
        parts = [*self.parts(2, "--preprocess", "unit", model=model, data=data, numbers=[1]),
                 *self.parts(2, "--preprocess", "unit,mean=3", model=model, data=data, numbers=[2])]
        self.fails("quantize", model, "--out", self.work / "merged/s", "--calibration", *parts,
                   says=["part2.cal", "prepared in another way", "mean=3", "part1.cal"])

    def test_a_part_without_the_tensors_of_the_qdq_file(self):
        parts = self.parts(2, "--emit", "deploy")
        self.refused(parts, ["know nothing of tensor", "--emit"])
        self.merge(parts, "--emit", "deploy")

    def test_another_instruction_set_is_a_warning_and_in_the_record(self):
        parts = [*self.parts(2, numbers=[1]), *self.parts(2, "--isa", "sse41", numbers=[2])]
        result = self.run_amct("quantize", self.model, "--out", self.work / "merged/small", "--calibration", *parts)
        self.assertIn("instruction sets", result.stderr)
        self.assertTrue((self.work / "merged/small_record.txt").read_text().startswith("# the parts were computed"))

    def test_options_that_contradict(self):
        parts = self.parts(2)
        out = ["--out", self.work / "merged/small"]
        self.fails("quantize", self.model, *out, says=["--data", "--calibration"])
        self.fails("quantize", self.model, *out, "--workers", "2", "--calibration", *parts, says=["--workers", "--calibration"])
        self.fails("quantize", self.model, *out, "--labels", self.data, "--calibration", *parts, says=["--labels", "--data"])
        for shard in ("0/3", "4/3", "3", "a/b", "1/2/3", "-1/2", "1/99999999999"):
            self.fails("calibrate", self.model, "--data", self.data, "--out", self.work / "x.cal", f"--shard={shard}",
                       says=["--shard", "3/8"])

    def test_activations_that_are_no_numbers_are_named_by_their_part(self):
        self.samples[3, 1, 2, 2] = np.nan
        np.save(self.data, self.samples)
        self.fails("calibrate", self.model, "--data", self.data, "--shard", "1/2", "--out", self.work / "x.cal", says=["conv1"])
        self.assertFalse((self.work / "x.cal").exists())


class WorkerProcesses(CalibrationTest):
    def test_the_files_are_those_of_one_process(self):
        for extra in ([], ["--balance"], ["--samples", "9", "--skip", "fc", "--no-bias-correction"]):
            expected = files(self.quantize(*extra, out="one/small"))
            for workers in (2, 3):
                prefix = self.quantize(*extra, "--workers", workers, out=f"{workers}/small")
                self.assertEqual(files(prefix), expected, f"{workers} workers, {extra}")
                self.assertEqual(len(list(prefix.parent.iterdir())), len(expected))

    def test_a_failure_is_told_in_the_words_of_the_worker_and_nothing_stays(self):
        self.samples[15, 1, 2, 2] = np.nan
        np.save(self.data, self.samples)
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "out/small", "--workers", "3",
                   says=["worker 3", "NaN", "conv1"])
        self.assertFalse((self.work / "out").exists())
        self.fails("quantize", self.model, "--data", self.work / "nowhere", "--out", self.work / "out/small", "--workers", "2",
                   says=["worker", "nowhere"])
        self.assertFalse((self.work / "out").exists())


class Interrupted(CalibrationTest):
    """kill -9 while samples run, with a checkpoint behind every one of them."""

    def setUp(self):
        super().setUp()
        self.samples = np.random.default_rng(SEED + 1).normal(0, 1, (600, 3, 12, 10)).astype(np.float32)
        np.save(self.data, self.samples)

    def start_and_kill(self, checkpoint, arguments, after):
        """Kills the program when its checkpoint has been seen to change `after` times."""
        process = subprocess.Popen([AMCT, *map(str, arguments), "--checkpoint-seconds", "0"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        seen, last, deadline = 0, None, time.monotonic() + 60
        while process.poll() is None and seen < after and time.monotonic() < deadline:
            try:
                now = checkpoint.stat().st_ino, checkpoint.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            seen, last = seen + (now != last), now
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL, "it ended by itself")
        self.assertTrue(checkpoint.exists())

    def check_resumes(self, arguments, prefix, expected, kills=(1, 5, 30), checkpoint=None):
        checkpoint = checkpoint or prefix.with_name(prefix.name + ".checkpoint")
        for after in kills:
            self.start_and_kill(checkpoint, [*arguments, "--out", prefix, "--resume", "--threads", "2"], after)
        done = self.run_amct(*arguments, "--out", prefix, "--resume", "--threads", "1")
        self.assertIn("samples are done", done.stderr)
        self.assertFalse(checkpoint.exists())
        self.assertEqual(files(prefix), expected)

    def test_quantize_goes_on_to_the_same_files(self):
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "600"]
        expected = files(self.quantize("--samples", "600", out="whole/small"))
        self.check_resumes(arguments, self.work / "out/small", expected)

    def test_calibrate_goes_on_to_the_same_part(self):
        arguments = ["calibrate", self.model, "--data", self.data, "--samples", "600", "--shard", "2/2"]
        self.run_amct(*arguments, "--out", self.work / "whole.cal")
        self.check_resumes(arguments, self.work / "part.cal", {"": (self.work / "whole.cal").read_bytes()})

    def test_with_balance_it_goes_on_in_either_pass(self):
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "200", "--balance"]
        expected = files(self.quantize("--samples", "200", "--balance", out="whole/small"))
        self.check_resumes(arguments, self.work / "out/small", expected, kills=(2, 60, 20))

    def test_ordered_histograms_go_on(self):
        config = self.work / "hfmg.cfg"
        config.write_text(HFMG)
        for batch in ("1", "7"):
            extra = ["--config", config, "--samples", "400", "--batch", batch]
            expected = files(self.quantize(*extra, out=f"whole{batch}/small"))
            self.check_resumes(["quantize", self.model, "--data", self.data, *extra], self.work / f"out{batch}/small",
                               expected, kills=(2, 20))

    def test_workers_go_on(self):
        expected = files(self.quantize("--samples", "600", out="whole/small"))
        prefix = self.work / "out/small"
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "600", "--workers", "2", "--out", prefix]
        self.start_and_kill(prefix.parent / "small_workers/part1of2.cal.checkpoint", arguments, 10)
        self.run_amct(*arguments, "--resume")
        self.assertEqual(files(prefix), expected)

    def test_checkpoints_of_something_else_are_named(self):
        arguments = ["calibrate", self.model, "--data", self.data, "--samples", "600", "--out", self.work / "p.cal"]
        checkpoint = self.work / "p.cal.checkpoint"
        self.start_and_kill(checkpoint, arguments, 5)
        self.fails("quantize", self.model, "--out", self.work / "o/s", "--calibration", checkpoint,
                   says=["p.cal.checkpoint", "not finished", "--resume"])
        says = ["p.cal.checkpoint", "cannot be continued", "delete"]
        self.fails(*arguments, "--resume", "--skip", "fc", says=[*says, "settings"])
        self.fails(*arguments, "--resume", "--shard", "1/2", says=[*says, "1/1"])
        self.fails(*arguments[:4], "--samples", "599", *arguments[6:], "--resume", says=[*says, "600"])
        self.fails(*arguments, "--resume", "--isa", "sse41", says=[*says, "sse41"])
        small_network(self.model, scale=1.1)
        self.fails(*arguments, "--resume", says=[*says, "another model"])
        small_network(self.model)
        np.save(self.data, self.samples + 1)
        self.fails(*arguments, "--resume", says=[*says, "other data"])
        np.save(self.data, self.samples)
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
        self.fails(*arguments, "--resume", says=["p.cal.checkpoint", "cut off"])
        self.assertIn("--resume", self.run_amct(*arguments).stderr)  # says that there is one, and starts anew
        self.assertFalse(checkpoint.exists())


class OrderedHistograms(CalibrationTest):
    """HFMG: in one process in the order of the samples, whatever runs beside each other; in parts merged."""

    def setUp(self):
        super().setUp()
        self.config = self.work / "hfmg.cfg"
        self.config.write_text(HFMG)
        self.options = ["--config", self.config, "--samples", "20"]
        # Of few values most searches end at the whole range; with these they do not.
        self.samples = np.random.default_rng(20240919).normal(0, 1, (20, 3, 12, 10)).astype(np.float32)
        np.save(self.data, self.samples)

    def test_threads_change_nothing_and_the_order_does(self):
        expected = files(self.quantize(*self.options, "--threads", "1", out="one/small"))
        for threads in ("2", "3", "8"):
            self.assertEqual(files(self.quantize(*self.options, "--threads", threads, out=f"{threads}/small")), expected)
        self.assertEqual(files(self.merge(self.parts(1, *self.options), *self.options)), expected)
        np.save(self.data, self.samples[::-1])
        other = files(self.quantize(*self.options, out="reversed/small"))
        self.assertNotEqual(other["_record.txt"], expected["_record.txt"])

    def test_a_batch_enters_at_once(self):
        records = [files(self.quantize(*self.options, "--batch", batch, out=f"{batch}/small"))["_record.txt"]
                   for batch in ("1", "20")]
        self.assertNotEqual(*records)

    def test_merged_histograms_are_the_same_for_any_split_and_the_record_says_so(self):
        two, three = (files(self.merge(self.parts(n, *self.options), *self.options, out=f"{n}/small")) for n in (2, 3))
        workers = files(self.quantize(*self.options, "--workers", "2", out="w/small"))
        self.assertEqual(two, three)
        self.assertEqual(two, workers)
        self.assertTrue(two["_record.txt"].startswith(b"# hfmg: 4 histograms are merged"), two["_record.txt"][:80])
        self.run_amct("convert", self.model, "--record", self.work / "2/small_record.txt", "--out", self.work / "c/small")
        ordered = files(self.quantize(*self.options, out="one/small"))["_record.txt"]
        self.assertFalse(ordered.startswith(b"#"))

    def test_a_faulty_sample_ends_it(self):
        self.samples[7, 0, 0, 0] = np.inf
        np.save(self.data, self.samples)
        self.fails("quantize", self.model, "--data", self.data, *self.options, "--threads", "3", "--out", self.work / "o/s",
                   says=["conv1"])
        (self.work / "images").mkdir()
        for i in range(9):
            np.save(self.work / f"images/{i}.npy", self.samples[:1] if i != 5 else self.samples[:1, :, :5])
        self.fails("quantize", self.model, "--data", self.work / "images", *self.options, "--threads", "3", "--out",
                   self.work / "o/s", says=["5.npy"])


if __name__ == "__main__":
    unittest.main()

"""Calibration in parts and in worker processes: the files are those of one process, byte for byte; parts that are missing,
double, damaged or foreign are refused by name."""

import pathlib
import shutil
import struct
import subprocess
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.calibration_test import HFMG, CalibrationTest
from support.command_test import SEED, small_network
from support.program import AMCT

HEADER, HASH = 24, 8
STEPS = ["--nuq", "16", "--nuq-loss", "10"]
SEARCHES = (["--balance=search"], STEPS, ["--balance=search", *STEPS], ["--balance", *STEPS],
            ["--nuq", "16", "--nuq-weighted"], ["--balance=search", *STEPS, "--nuq-weighted"])


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def signed(content):
    """The bytes of a part with the right checksum."""
    return content + struct.pack("<Q", fnv(content))


class Parts(CalibrationTest):
    def test_any_number_of_parts_in_any_order_give_the_files_of_one_process(self):
        expected = self.files(self.quantize("--threads", "2"))
        self.assertEqual(len(expected), 6)
        for count in (1, 2, 3, 7, 23):  # 20 samples: some of 23 shares are empty
            parts = self.parts(count, "--threads", "1")
            for order in (parts, parts[::-1]):
                self.assertEqual(self.files(self.merge(order)), expected, f"{count} parts")

    def test_settings_reach_the_parts(self):
        config = self.work / "c.cfg"
        config.write_text('skip_layers: "fc" common_config { ifmr_quantize { search_range_start: 0.8 } '
                          'arq_quantize { channel_wise: false } }')
        for extra in (["--config", config], ["--no-bias-correction", "--calibrate-weights", "float"],
                      ["--emit", "deploy"], ["--samples", "11"], ["--samples", "30"]):
            expected = self.files(self.quantize(*extra))
            parts = self.parts(3, *extra)
            self.assertEqual(self.files(self.merge(parts, *extra)), expected, extra)
            for path in self.work.glob("*/small*"):
                path.unlink()

    def test_parts_of_a_model_with_a_fixed_batch_split_between_batches(self):
        small_network(self.model, batch=3)
        expected = self.files(self.quantize())
        parts = self.parts(4)
        self.assertEqual(self.files(self.merge(parts)), expected)

    def test_balance_takes_two_rounds(self):
        expected = self.files(self.quantize("--balance"))
        self.assertIn(b"tensor_balance_factor", expected["_record.txt"])
        first = self.parts(3, "--balance", name="first")
        self.refused(first, ["first1.cal", "second round"], extra=["--balance"])
        second = self.parts(3, "--balance", "--calibration", *first, name="second")
        self.refused([*second[:2], first[2]], ["first3.cal", "rounds"], extra=["--balance"])
        self.assertEqual(self.files(self.merge(second, "--balance")), expected)
        self.fails("calibrate", self.model, "--data", self.data, "--balance", "--shard", "1/3", "--out", self.work / "x.cal",
                   "--calibration", *second, says=["second1.cal", "no second round"])
        self.fails("calibrate", self.model, "--data", self.data, "--balance", "--shard", "1/3", "--out", self.work / "x.cal",
                   "--calibration", *first[:2], says=["samples 13 to 19 of 20", "--shard 3/3"])

    def test_searches_choose_once_for_all_shares(self):
        for i, extra in enumerate(SEARCHES):
            expected = self.files(self.quantize(*extra, out=f"one{i}/small"))
            known = []
            if "--balance" in extra[0]:
                first = self.parts(3, *extra, name=f"first{i}-")
                known = ["--calibration", *first]
                self.fails("calibrate", self.model, "--data", self.data, *extra, "--shard", "1/3", *known, "--out",
                           self.work / "x.cal", says=["--choose"])
            choice = self.work / f"choice{i}.cal"
            self.run_amct("calibrate", self.model, "--data", self.data, *extra, "--choose", *known, "--out", choice)
            self.refused([choice], [choice.name, "calibrate all shares"], extra=extra)
            parts = self.parts(3, *extra, "--calibration", choice, name=f"part{i}-")
            self.assertEqual(self.files(self.merge(parts, *extra, out=f"merged{i}/small")), expected, extra)
            shutil.rmtree(self.work / f"merged{i}")
            self.assertEqual(self.files(self.merge(self.parts(1, *extra, name=f"all{i}-"), *extra, out=f"m{i}/small")), expected)

    def test_what_was_chosen_is_reported_by_who_merges(self):
        extra = SEARCHES[2]
        one = self.run_json("quantize", self.model, "--data", self.data, *extra, "--out", self.work / "one/small")
        parts = self.parts(1, *extra)
        merged = self.run_json("quantize", self.model, *extra, "--out", self.work / "m/small", "--calibration", *parts)
        self.assertEqual(merged["nuq"], one["nuq"])
        self.assertEqual(merged["balanced"], one["balanced"])
        self.assertGreater(len(set(one["balanced"]["strengths"].values())), 1)
        self.assertIn(len(one["nuq"]["reverted"]), range(1, one["nuq"]["candidates"]), one["nuq"])

    def test_choices_that_do_not_fit(self):
        calibrate = ["calibrate", self.model, "--data", self.data, "--out", self.work / "x.cal"]
        self.fails(*calibrate, "--choose", says=["--choose", "nothing to choose"])
        self.fails(*calibrate, "--choose", "--shard", "1/2", *STEPS, says=["--choose", "--shard"])
        self.fails(*calibrate, "--shard", "1/2", *STEPS, says=["--nuq-loss", "--choose"])
        self.fails(*calibrate, "--shard", "1/2", "--nuq", "16", "--nuq-weighted", says=["--nuq-weighted", "--choose"])
        self.fails(*calibrate, "--nuq-weighted", says=["--nuq-weighted", "--nuq 32"])
        (self.work / "labels.txt").write_text("".join(f"{i} {i % 7}\n" for i in range(20)))
        parts = []
        for i, labels in enumerate(([], ["--labels", self.work / "labels.txt"]), 1):
            choice = self.work / f"choice{i}.cal"
            self.run_amct("calibrate", self.model, "--data", self.data, *STEPS, *labels, "--choose", "--out", choice)
            parts += self.parts(2, *STEPS, "--calibration", choice, numbers=[i])
        self.refused(parts, ["part2.cal", "another choice", "part1.cal"], extra=STEPS)
        self.fails(*calibrate, "--nuq", "16", "--nuq-loss", "1", "--shard", "1/2", "--calibration", self.work / "choice1.cal",
                   says=["choice1.cal", "other settings", "nuq loss"])

    def test_data_beside_the_parts_measures_the_result(self):
        parts = self.parts(2)
        without = self.run_json("quantize", self.model, "--out", self.work / "a/small", "--calibration", *parts)
        measured = self.run_json("quantize", self.model, "--data", self.data, "--out", self.work / "b/small",
                                 "--calibration", *parts)
        self.assertIsNone(without["sqnr_db"])
        self.assertGreater(measured["sqnr_db"], 10)
        self.assertEqual(measured["samples"], 20)
        self.assertEqual(self.files(self.work / "a/small"), self.files(self.work / "b/small"))

    def test_what_a_part_reports(self):
        report = self.run_json("calibrate", self.model, "--data", self.data, "--shard", "2/3", "--out", self.work / "p.cal")
        self.assertEqual(report["shard"], {"number": 2, "count": 3})
        self.assertEqual(report["samples"], {"begin": 6, "end": 13, "all": 20})
        self.assertEqual(report["bytes"], (self.work / "p.cal").stat().st_size)
        self.assertLess(report["bytes"] / report["tensors"], 40000)
        text = self.run_amct("calibrate", self.model, "--data", self.data, "--out", self.work / "p.cal").stdout
        self.assertIn("samples 0 to 19 of 20", text)

    def test_shares_of_a_model_with_a_fixed_batch_are_told_as_they_are(self):
        small_network(self.model, batch=4)
        arguments = ["calibrate", self.model, "--data", self.data, "--samples", "10", "--shard", "1/3", "--out",
                     self.work / "part1.cal"]
        report = self.run_json(*arguments)
        self.assertEqual(report["samples"], {"begin": 0, "end": 4, "all": 10})
        again = self.run_json(*arguments, "--resume")
        self.assertTrue(again["was_there"])
        self.assertEqual((again["samples"], again["tensors"]), (report["samples"], report["tensors"]))
        parts = [self.work / "part1.cal", *self.parts(3, "--samples", "10", numbers=[3])]
        self.fails("quantize", self.model, "--out", self.work / "m/small", "--calibration", *parts,
                   says=["samples 4 to 7 of 10", "--shard 2/3"])

    def test_a_model_without_layers_has_parts_too(self):
        text = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g",
                                 [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5])],
                                 [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])])
        onnx.save(helper.make_model(text, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), self.model)
        np.save(self.data, self.samples.reshape(-1, 5)[:20])
        expected = self.files(self.quantize())
        self.assertEqual(self.files(self.merge(self.parts(2))), expected)

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

    def test_a_share_with_other_tensors_is_done_again(self):
        for extra in ([], ["--balance=search"]):
            part = self.work / "part.cal"
            command = ["calibrate", self.model, "--data", self.data, *extra, "--out", part]
            self.run_amct(*command)
            expected = part.read_bytes()
            for first, second in ((["--emit", "deploy"], []), ([], ["--emit", "deploy"])):
                part.unlink()
                self.run_amct(*command, *first)
                again = self.run_json(*command, *second, "--resume")
                self.assertFalse(again["was_there"])
                self.assertEqual(part.read_bytes() == expected, not second)
                self.assertTrue(self.run_json(*command, *second, "--resume")["was_there"])


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
        for shard in ("0/3", "4/3", "3", "a/b", "1/2/3", "-1/2", "1/99999999999", "1/1048577"):
            self.fails("calibrate", self.model, "--data", self.data, "--out", self.work / "x.cal", f"--shard={shard}",
                       says=["--shard", "3/8"])

    def test_activations_that_are_no_numbers_are_named_by_their_part(self):
        self.samples[3, 1, 2, 2] = np.nan
        np.save(self.data, self.samples)
        self.fails("calibrate", self.model, "--data", self.data, "--shard", "1/2", "--out", self.work / "x.cal", says=["conv1"])
        self.assertFalse((self.work / "x.cal").exists())


class WorkerProcesses(CalibrationTest):
    def test_the_files_are_those_of_one_process(self):
        for extra in ([], ["--balance"], ["--samples", "9", "--skip", "fc", "--no-bias-correction"], *SEARCHES):
            expected = self.files(self.quantize(*extra, out="one/small"))
            for workers in (2, 3):
                prefix = self.quantize(*extra, "--workers", workers, out=f"{workers}/small")
                self.assertEqual(self.files(prefix), expected, f"{workers} workers, {extra}")
                self.assertEqual(len(list(prefix.parent.iterdir())), len(expected))

    def test_a_failure_is_told_in_the_words_of_the_worker_and_nothing_stays(self):
        self.samples[15, 1, 2, 2] = np.nan
        np.save(self.data, self.samples)
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "out/small", "--workers", "3",
                   says=["worker 3", "NaN", "conv1"])
        self.assertFalse((self.work / "out").exists())
        self.fails("quantize", self.model, "--data", self.work / "nowhere", "--out", self.work / "out/small", "--workers", "2",
                   says=["nowhere"])
        self.assertFalse((self.work / "out").exists())
        self.samples[15] = 0
        self.samples[2, 1, 2, 2] = np.nan  # in the share of the process itself
        np.save(self.data, self.samples)
        self.fails("quantize", self.model, "--data", self.data, "--out", self.work / "out/small", "--workers", "3",
                   says=["NaN", "conv1"])
        self.assertFalse((self.work / "out").exists())


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
        expected = self.files(self.quantize(*self.options, "--threads", "1", out="one/small"))
        for threads in ("2", "3", "8"):
            self.assertEqual(self.files(self.quantize(*self.options, "--threads", threads, out=f"{threads}/small")), expected)
        self.assertEqual(self.files(self.merge(self.parts(1, *self.options), *self.options)), expected)
        np.save(self.data, self.samples[::-1])
        other = self.files(self.quantize(*self.options, out="reversed/small"))
        self.assertNotEqual(other["_record.txt"], expected["_record.txt"])

    def test_a_batch_enters_at_once(self):
        records = [self.files(self.quantize(*self.options, "--batch", batch, out=f"{batch}/small"))["_record.txt"]
                   for batch in ("1", "20")]
        self.assertNotEqual(*records)

    def test_merged_histograms_are_the_same_for_any_split_and_the_record_says_so(self):
        two, three = (self.files(self.merge(self.parts(n, *self.options), *self.options, out=f"{n}/small")) for n in (2, 3))
        workers = self.files(self.quantize(*self.options, "--workers", "2", out="w/small"))
        self.assertEqual(two, three)
        self.assertEqual(two, workers)
        self.assertTrue(two["_record.txt"].startswith(b"# hfmg: 4 histograms are merged"), two["_record.txt"][:80])
        self.run_amct("convert", self.model, "--record", self.work / "2/small_record.txt", "--out", self.work / "c/small")
        ordered = self.files(self.quantize(*self.options, out="one/small"))["_record.txt"]
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

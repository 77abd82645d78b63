"""Calibration after an interruption: the files are those of one uninterrupted run, byte for byte."""

import signal
import subprocess
import time
import unittest

import numpy as np

from support.calibration_test import HFMG, CalibrationTest
from support.command_test import SEED, small_network
from support.program import AMCT


class Interrupted(CalibrationTest):
    """kill -9 while samples run, with a checkpoint behind every one of them."""

    def setUp(self):
        super().setUp()
        self.samples = np.random.default_rng(SEED + 1).normal(0, 1, (600, 3, 12, 10)).astype(np.float32)
        np.save(self.data, self.samples)

    def start_and_kill(self, checkpoint, arguments, after):
        """Kills the program when its checkpoint has been seen to change `after` times; starts again where a busy machine
        let it end before. True if the checkpoint is left; a worker that has done its share in the meantime has removed it."""
        for _ in range(10):
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
            if process.wait() == -signal.SIGKILL:
                return checkpoint.exists()
            self.assertEqual(process.returncode, 0)
        self.fail("it ended by itself ten times")

    def check_resumes(self, arguments, prefix, expected, kills=(1, 5, 30), checkpoint=None):
        checkpoint = checkpoint or prefix.with_name(prefix.name + ".checkpoint")
        for after in kills:
            left = self.start_and_kill(checkpoint, [*arguments, "--out", prefix, "--resume", "--threads", "2"], after)
            self.assertTrue(left)
        done = self.run_amct(*arguments, "--out", prefix, "--resume", "--threads", "1")
        self.assertIn("samples are done", done.stderr)
        self.assertFalse(checkpoint.exists())
        self.assertEqual(self.files(prefix), expected)

    def test_quantize_goes_on_to_the_same_files(self):
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "600"]
        expected = self.files(self.quantize("--samples", "600", out="whole/small"))
        self.check_resumes(arguments, self.work / "out/small", expected)

    def test_calibrate_goes_on_to_the_same_part(self):
        arguments = ["calibrate", self.model, "--data", self.data, "--samples", "600", "--shard", "2/2"]
        self.run_amct(*arguments, "--out", self.work / "whole.cal")
        self.check_resumes(arguments, self.work / "part.cal", {"": (self.work / "whole.cal").read_bytes()})

    def test_with_balance_it_goes_on_in_either_pass(self):
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "200", "--balance"]
        expected = self.files(self.quantize("--samples", "200", "--balance", out="whole/small"))
        self.check_resumes(arguments, self.work / "out/small", expected, kills=(2, 60, 20))

    def test_ordered_histograms_go_on(self):
        config = self.work / "hfmg.cfg"
        config.write_text(HFMG)
        for batch in ("1", "7"):
            extra = ["--config", config, "--samples", "400", "--batch", batch]
            expected = self.files(self.quantize(*extra, out=f"whole{batch}/small"))
            self.check_resumes(["quantize", self.model, "--data", self.data, *extra], self.work / f"out{batch}/small",
                               expected, kills=(2, 20))

    def test_workers_go_on(self):
        expected = self.files(self.quantize("--samples", "600", out="whole/small"))
        prefix = self.work / "out/small"
        arguments = ["quantize", self.model, "--data", self.data, "--samples", "600", "--workers", "2", "--out", prefix]
        self.assertTrue(self.start_and_kill(prefix.parent / "small_workers/part2of2.cal.checkpoint", arguments, 10))
        again = self.run_amct(*arguments, "--resume")
        self.assertIn("small.checkpoint", again.stderr)
        self.assertEqual(self.files(prefix), expected)

    def test_workers_go_on_in_either_round(self):
        settings = ["--samples", "300", "--balance=search"]
        expected = self.files(self.quantize(*settings, out="whole/small"))
        prefix = self.work / "out/small"
        arguments = ["quantize", self.model, "--data", self.data, *settings, "--workers", "2", "--out", prefix, "--resume"]
        left = [self.start_and_kill(prefix.parent / f"small_workers/{part}2of2.cal.checkpoint", arguments, after)
                for part, after in (("part", 3), ("second", 3), ("second", 20))]
        self.assertGreaterEqual(left.count(True), 2, left)
        self.run_amct(*arguments)
        self.assertEqual(self.files(prefix), expected)
        self.assertFalse((prefix.parent / "small_workers").exists())

    def test_parts_that_are_complete_win_over_a_checkpoint(self):
        arguments = ["quantize", self.model, "--samples", "600", "--out", self.work / "out/small"]
        expected = self.files(self.quantize("--samples", "600", out="whole/small"))
        parts = self.parts(2, "--samples", "600")
        checkpoint = self.work / "out/small.checkpoint"
        self.start_and_kill(checkpoint, [*arguments, "--data", self.data], 3)
        self.run_amct(*arguments, "--calibration", *parts, "--resume")
        self.assertFalse(checkpoint.exists())
        self.assertEqual(self.files(self.work / "out/small"), expected)

    def test_a_checkpoint_of_the_first_round_is_none_of_the_second(self):
        command = ["calibrate", self.model, "--data", self.data, "--samples", "600", "--balance", "--shard", "1/2", "--out",
                   self.work / "part.cal"]
        first = self.parts(2, "--samples", "600", "--balance", name="first")
        self.start_and_kill(self.work / "part.cal.checkpoint", command, 3)
        self.fails(*command, "--calibration", *first, "--resume", says=["part.cal.checkpoint", "first round", "delete"])
        self.run_amct(*command, "--calibration", *first)

    def test_a_checkpoint_has_the_tensors_of_its_command(self):
        command = ["quantize", self.model, "--data", self.data, "--samples", "600", "--out", self.work / "out/small"]
        checkpoint = self.work / "out/small.checkpoint"
        self.start_and_kill(checkpoint, [*command, "--emit", "deploy"], 3)
        self.fails(*command, "--resume", says=["checkpoint", "knows nothing of tensor", "repeat"])
        self.run_amct(*command, "--emit", "deploy", "--resume")
        part = self.work / "part.cal"
        command = ["calibrate", self.model, "--data", self.data, "--samples", "600", "--out", part]
        self.run_amct(*command, "--emit", "deploy")
        expected = part.read_bytes()
        self.start_and_kill(self.work / "part.cal.checkpoint", command, 3)
        self.run_amct(*command, "--emit", "deploy", "--resume", "--threads", "1")
        self.assertEqual(part.read_bytes(), expected)  # without what only half of the samples were asked for

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


if __name__ == "__main__":
    unittest.main()

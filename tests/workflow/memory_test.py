"""Peak memory does not grow with the number of samples."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from support.command_test import small_network
from support.program import AMCT


def peak(*arguments):
    """Peak resident kilobytes of one run; in a process of its own, because the system keeps the largest of all children."""
    script = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", script, AMCT, *map(str, arguments)], check=True, capture_output=True,
                          text=True)
    return int(done.stdout)


class Memory(unittest.TestCase):
    def test_does_not_grow_with_the_samples(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            small_network(work / "small.onnx")
            (work / "samples").mkdir()
            random = np.random.default_rng(1)
            np.save(work / "one.npy", random.standard_normal((3, 12, 10), np.float32))
            for i in range(4096):
                (work / "samples" / f"{i:04d}.npy").symlink_to(work / "one.npy")
            few, many = (peak("-q", "--threads", 2, "quantize", work / "small.onnx", "--data", work / "samples",
                              "--samples", n, "--out", work / "out") for n in (16, 4096))
            self.assertLess(many, 1.1 * few + 2048)


if __name__ == "__main__":
    unittest.main()

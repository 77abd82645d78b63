"""The program under the name of AMCT's command line."""

import os
import pathlib
import subprocess

from support.command_test import CommandTest
from support.program import AMCT

PROGRAM = str(pathlib.Path(AMCT).with_name("amct_onnx"))
BATCH = 4


class AmctOnnx(CommandTest):
    def setUp(self):
        super().setUp()
        self.folder = self.work / "calibration"
        self.write_batches(self.folder, self.samples)

    def write_batches(self, folder, samples, batch=BATCH):
        folder.mkdir()
        for i in range(0, len(samples), batch):
            samples[i:i + batch].tofile(folder / f"batch{i // batch}.bin")

    def run_amct(self, *arguments, code=0, **options):
        options.setdefault("cwd", self.work)
        environment = {**os.environ, **options.pop("environment", {})}
        result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                                env=environment, **options)
        self.assertEqual(result.returncode, code, f"amct_onnx {arguments}\n{result.stdout}\n{result.stderr}")
        return result

    def command(self, **changed):
        flags = {"model": "small.onnx", "save_path": "results/deep/small", "input_shape": f"x:{BATCH},3,12,10",
                 "data_dir": "calibration/", "data_types": "float32"}
        flags.update(changed)
        return ["calibration"] + [f"--{name}={value}" for name, value in flags.items() if value is not None]

    def refused(self, *says, command=None, code=1, **changed):
        self.faults(*(command or self.command(**changed)), code=code, says=says)
        self.assertFalse((self.work / "results").exists())

    def record(self, prefix="results/deep/small"):
        return (self.work / f"{prefix}_record.txt").read_text()

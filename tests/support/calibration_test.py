"""What the tests of calibration in parts share."""

from support.command_test import CommandTest

HFMG = "batch_num: 1 common_config { hfmg_quantize { } }"


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

"""Known factors in, quantized models out."""

import pathlib
import re
import unittest

import numpy as np

from support.command_test import CommandTest
from support.onnx_runtime import session


class Convert(CommandTest):
    def setUp(self):
        super().setUp()
        self.prefix = self.quantize("--no-bias-correction", out="a/small")
        self.record = self.work / "a/small_record.txt"

    def convert(self, record, *extra, out="b/small"):
        report = self.run_json("convert", self.model, "--record", record, "--out", self.work / out, *extra)
        return report, self.work / out

    def test_its_own_record_gives_the_same_models(self):
        report, prefix = self.convert(self.record)
        self.assertEqual((report["layers"], report["quantized"]), (4, 4))
        for suffix in ("_deploy_model.onnx", "_fake_quant_model.onnx", "_record.txt", "_quant.json"):
            self.assertEqual(pathlib.Path(f"{prefix}{suffix}").read_bytes(),
                             pathlib.Path(f"{self.prefix}{suffix}").read_bytes(), suffix)

    def test_balance_factors_and_clusters_come_along(self):
        rules = self.work / "rules.cfg"
        rules.write_text("common_config { nuq_quantize { } dmq_balancer { migration_strength: 0.3 } } skip_layers: 'pw'")
        first = self.quantize("--no-bias-correction", "--config", rules, out="c/small")
        _, second = self.convert(f"{first}_record.txt", out="d/small")
        for suffix in ("_deploy_model.onnx", "_fake_quant_model.onnx", "_record.txt"):
            self.assertEqual(pathlib.Path(f"{second}{suffix}").read_bytes(),
                             pathlib.Path(f"{first}{suffix}").read_bytes(), suffix)

    def test_the_qdq_file_computes_what_the_simulation_does(self):
        _, prefix = self.convert(self.record)
        outputs = [session(f"{prefix}{suffix}").run(None, {"x": self.samples})[0]
                   for suffix in ("_qdq.onnx", "_fake_quant_model.onnx")]
        np.testing.assert_allclose(*outputs, atol=0.02)

    def test_layers_without_a_record_stay_float(self):
        text = self.record.read_text()
        record = self.work / "three.txt"
        record.write_text("record {" + "record {".join(text.split("record {")[2:]))
        report, _ = self.convert(record)
        self.assertEqual(report["quantized"], 3)
        self.assertEqual(report["kept_float"], [{"layer": "conv1", "reason": "the record does not name it"}])

    def test_offsets_of_the_older_convention(self):
        old = self.work / "old.txt"
        old.write_text(re.sub(r"offset_d: (-?\d+)", lambda m: f"offset_d: {-int(m[1]) - 128}", self.record.read_text()))
        _, prefix = self.convert(old, "--record-convention", "uint8")
        self.assertEqual(pathlib.Path(f"{prefix}_record.txt").read_bytes(), self.record.read_bytes())

    def test_all_faults_of_a_record_at_once(self):
        bad = self.work / "bad.txt"
        text = self.record.read_text().replace('"conv1"', '"conv9"')
        bad.write_text(text.replace('key: "fc"\n  value {', 'key: "fc"\n  value {\n    scale_w: 1.0\n    offset_w: 0'))
        self.faults("convert", self.model, "--record", bad, "--out", self.work / "e/small",
                    says=[["no layer 'conv9'", "did you mean 'conv1'"], ["2 weight scales for 7 output channels", "'fc'"]])
        self.assertFalse((self.work / "e").exists())
        self.fails("convert", f"{self.prefix}_qdq.onnx", "--record", self.record, "--out", self.work / "e/small",
                   says=["quantized already"])
        self.fails("convert", self.model, "--record", self.work / "none.txt", "--out", self.work / "e/small",
                   says=["none.txt"])


if __name__ == "__main__":
    unittest.main()

"""docs/formats/json.md against what the commands print: every key stands in its command's section."""

import pathlib
import re
import unittest

import numpy as np

from support.command_test import CommandTest

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/formats/json.md"
BY_NAME = {"operators", "passes", "strengths"}  # objects whose keys are names from the model


def documented():
    """Section -> the words in backquotes of it."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {section.split("\n", 1)[0]: set(re.findall(r"`(\w+)`", section)) for section in sections}


def keys(value):
    if isinstance(value, list):
        return set().union(*map(keys, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(item) for name, item in value.items()
                              if not (name in BY_NAME and isinstance(item, dict))))


class Json(CommandTest):
    def printed(self):
        """Command -> the objects that it prints."""
        out, data = self.work / "out/small", ["--data", self.data]
        cache = self.work / "cache.cfg"
        cache.write_text('kv_cache_quant_config { quant_layers: "fc" }\n')
        quantize = ["quantize", self.model, *data, "--out", out, "--labels", self.labels(), "--balance=search",
                    "--nuq", 16, "--nuq-loss", 5, "--evaluate-with", "test -f {model} && echo 1"]
        return {
            "quantize": [self.run_json(*quantize),
                         self.run_json("quantize", self.model, *data, "--out", self.work / "skip/small", "--skip", "dw")],
            "convert": [self.run_json("convert", self.model, "--record", f"{out}_record.txt", "--out", self.work / "c/small"),
                        self.run_json("convert", f"{out}_qdq.onnx", "--out", self.work / "d/small")],
            "kv-cache": [self.run_json("kv-cache", self.model, *data, "--config", cache, "--out", self.work / "k/small")],
            "config": [self.run_json("config", self.model, "--out", self.work / "all.json")],
            "calibrate": [self.run_json("calibrate", self.model, *data, "--shard", "1/2", "--out", self.work / "p.cal")],
            "compare": [self.run_json("compare", self.model, f"{out}_fake_quant_model.onnx", *data)],
            "evaluate": [self.run_json("evaluate", self.model, *data, "--labels", self.labels())],
            "inspect": [self.run_json("inspect", self.model)],
            "run": [self.run_json("run", self.model, "--input", f"x={self.data}", "--out", self.work / "r", "--profile")],
            "ops": [self.run_json("ops")],
            "passes": [self.run_json("passes")],
        }

    def labels(self):
        path = self.work / "labels.npy"
        np.save(path, np.arange(20) % 7)
        return path

    def test_every_printed_key_is_documented(self):
        pages, printed = documented(), self.printed()
        self.assertEqual(set(pages), set(printed), "sections and commands")
        for command, objects in printed.items():
            undocumented = keys(objects) - pages[command]
            if command == "convert":
                undocumented -= pages["quantize"]
            self.assertEqual(undocumented, set(), command)


if __name__ == "__main__":
    unittest.main()

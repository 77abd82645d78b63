"""The files of examples/cluster as a cluster would run them: the body of the Slurm script once for each task, the
commands of the Kubernetes jobs once for each index. Together they give the files of one process."""

import os
import pathlib
import re
import subprocess
import unittest

from support.command_test import CommandTest
from support.program import AMCT

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "examples/cluster"
SHAPES = ROOT / "examples/shapes"
OPTIONS = ["--preprocess", "unit", "--samples", "21"]


def parse_yaml(text):
    """The documents of a file in the part of YAML that ours use: mappings, lists of mappings or words, and "|" blocks."""
    documents = []
    for document in re.split(r"^---$", text, flags=re.M):
        lines = [line for line in document.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        value, rest = parse_block(lines, 0)
        assert not rest, rest
        documents.append(value)
    return documents


def indent_of(line):
    return len(line) - len(line.lstrip())


def parse_scalar(text):
    if text.startswith('"'):
        assert text.endswith('"'), text
        return text[1:-1]
    return int(text) if text.isdigit() else text


def parse_value(text, lines, indent):
    """What stands behind a key or a dash, and the lines that are left."""
    if text == "|":
        end = next((i for i, line in enumerate(lines) if indent_of(line) <= indent), len(lines))
        inner = indent_of(lines[0])
        return "".join(line[inner:] + "\n" for line in lines[:end]), lines[end:]
    if text:
        return parse_scalar(text), lines
    return parse_block(lines, indent_of(lines[0]))


def parse_block(lines, indent):
    if lines[0].lstrip().startswith("- "):
        items = []
        while lines and indent_of(lines[0]) == indent and lines[0].lstrip().startswith("- "):
            text = lines[0].lstrip()[2:]
            if re.match(r"\w+:( |$)", text):  # a mapping begins behind the dash
                value, lines = parse_block([" " * (indent + 2) + text, *lines[1:]], indent + 2)
            else:
                value, lines = parse_value(text, lines[1:], indent)
            items.append(value)
        return items, lines
    mapping = {}
    while lines and indent_of(lines[0]) == indent:
        key, separator, text = lines[0].strip().partition(":")
        assert separator and key not in mapping, lines[0]
        mapping[key], lines = parse_value(text.strip(), lines[1:], indent)
    return mapping, lines


class ClusterTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.run_amct("quantize", SHAPES / "shapes.onnx", "--data", SHAPES / "calibration", *OPTIONS, "--out",
                      self.work / "one/model")
        self.expected = self.files("one/model")

    def run_in(self, command, environment):
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_slurm_array(self):
        script = CLUSTER / "calibrate.sbatch"
        first, last = re.search(r"^#SBATCH --array=(\d+)-(\d+)$", script.read_text(), re.M).groups()
        self.assertEqual(first, "1")
        self.assertLess(script.read_text().rfind("#SBATCH"), script.read_text().find("set -euo"))  # Slurm reads no further
        for task in range(1, int(last) + 1):
            self.run_in([script, SHAPES / "shapes.onnx", SHAPES / "calibration", self.work / "parts", *OPTIONS],
                        {"AMCT": AMCT, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": last,
                         "SLURM_CPUS_PER_TASK": "1"})
        parts = sorted((self.work / "parts").iterdir())
        self.assertEqual(len(parts), int(last))
        self.run_amct("quantize", SHAPES / "shapes.onnx", "--calibration", *parts, *OPTIONS, "--out", self.work / "o/model")
        self.assertEqual(self.files("o/model"), self.expected)

    def test_kubernetes_indexed_job(self):
        calibrate, quantize = parse_yaml((CLUSTER / "calibrate.yaml").read_text())
        self.assertEqual(calibrate["spec"]["completionMode"], "Indexed")
        shares = calibrate["spec"]["completions"]
        self.assertEqual([job["metadata"]["labels"]["step"] for job in (calibrate, quantize)], ["calibrate", "quantize"])
        mine = {"MODEL": str(SHAPES / "shapes.onnx"), "DATA": str(SHAPES / "calibration"), "OPTIONS": " ".join(OPTIONS),
                "PARTS": str(self.work / "parts"), "OUT": str(self.work / "o/model"),
                "PATH": f"{pathlib.Path(AMCT).parent}:{os.environ['PATH']}"}
        indices = {calibrate["metadata"]["name"]: range(shares), quantize["metadata"]["name"]: [None]}
        for job in (calibrate, quantize):
            (container,) = job["spec"]["template"]["spec"]["containers"]
            given = {item["name"]: str(item["value"]) for item in container["env"]}
            self.assertLessEqual(set(given) - {"SHARES"}, set(mine))
            for index in indices[job["metadata"]["name"]]:
                own = {} if index is None else {"JOB_COMPLETION_INDEX": str(index)}
                self.run_in(container["command"], {**given, **mine, **own})
        self.assertEqual(len(list((self.work / "parts").iterdir())), shares)
        self.assertEqual(self.files("o/model"), self.expected)


if __name__ == "__main__":
    unittest.main()

"""Five calibration settings on six real models: every exported file is valid, runs in ONNX Runtime and is as near to the float
network as matrix.json pins.

The deploy model runs in amct's integers and agrees with the simulation. Models that take longer are left to --all; --markdown
prints the table for docs/benchmarks.md.

usage: matrix.py AMCT [--all] [--update] [--markdown]      --update writes matrix.json
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from support import model_data
from support.assets import assets_or_exit

ROOT = pathlib.Path(__file__).resolve().parents[2]
PINNED = ROOT / "tests/workflow/matrix.json"
TOLERANCE = 1.0  # dB
SETTINGS = {
    "ifmr, int8": "common_config { arq_quantize { } ifmr_quantize { } }",
    "hfmg symmetric, int8": "activation_offset: false common_config { arq_quantize { } hfmg_quantize { num_of_bins: 2048 } }",
    "ifmr, int16 activations": "common_config { arq_quantize { } ifmr_quantize { dst_type: INT16 } }",
    "ifmr, int4 weights": "common_config { arq_quantize { quant_bits: 4 } ifmr_quantize { } }",
    "narrow search, balanced, 7 bits per tensor":
        "common_config { arq_quantize { channel_wise: false quant_bits: 7 } dmq_balancer { migration_strength: 0.4 } "
        "ifmr_quantize { search_range_start: 0.8 search_range_end: 1.1 search_step: 0.05 max_percentile: 0.9999 } }",
}
FAST = ["mnist_cntk", "resnet8_cifar10", "vnn_mnistfc_256x4"]
ALL = [*FAST, "mobilenet_v1_025", "mobilenet_v2", "nanodet_m"]


def sqnr(reference, other):
    return 10 * np.log10(np.sum(reference**2) / max(np.sum((reference - other) ** 2), 1e-30))


class Case:
    def __init__(self, program, item, work):
        self.program, self.item, self.work = program, item, work
        self.data = model_data.data_for(item, work)

    def amct(self, *arguments):
        command = [self.program, *map(str, arguments), "--quiet"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, arguments[:2]))}: {result.stderr.strip()}")
        return result.stdout

    def compare(self, first, second):
        report = self.amct("compare", first, second, *self.data, "--samples", 8, "--layers", 0, "--json")
        ratio = json.loads(report)["logit_sqnr_db"]
        return 300.0 if ratio is None else ratio

    def check_runtime(self, path):
        """Valid, and ONNX Runtime computes what amct computes node by node."""
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)
        runner = model_data.session(path)
        item, = runner.get_inputs()
        x = np.random.default_rng(3).uniform(-1, 1, [d if isinstance(d, int) else 1 for d in item.shape]).astype(np.float32)
        np.save(self.work / "x.npy", x)
        self.amct("run", path, "--input", f"{item.name}={self.work / 'x.npy'}", "--out", self.work / "y", "--exact")
        for output, value in zip(runner.get_outputs(), runner.run(None, {item.name: x})):
            ours = np.load(self.work / "y" / (output.name.replace("/", "_") + ".npy"))
            if not np.isfinite(value).all():
                raise RuntimeError(f"{path.name}: {output.name} is not finite")
            if sqnr(value.astype(np.float64), ours) < 15:
                raise RuntimeError(f"{path.name}: {output.name} is {sqnr(value, ours):.1f} dB from amct's own")

    def run(self, setting):
        config, prefix = self.work / "settings.cfg", self.work / "q"
        config.write_text(setting)
        self.amct("quantize", self.item.path, *self.data, "--samples", 32, "--config", config, "--out", prefix)
        fake, qdq, deploy = (pathlib.Path(f"{prefix}_{name}.onnx") for name in ("fake_quant_model", "qdq", "deploy_model"))
        self.check_runtime(fake)
        self.check_runtime(qdq)
        if self.compare(fake, deploy) < 60:
            raise RuntimeError("the deploy model is not what the simulation says")
        return {"fake": round(self.compare(self.item.path, fake), 1), "qdq": round(self.compare(self.item.path, qdq), 1)}


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    assets_or_exit()
    names = ALL if "--all" in sys.argv or "--update" in sys.argv else FAST
    pinned = json.loads(PINNED.read_text()) if PINNED.exists() else {}
    found, faults = {}, []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(program, model_data.model(name), pathlib.Path(folder))
            for label, setting in SETTINGS.items():
                try:
                    ratios = case.run(setting)
                except (RuntimeError, onnx.checker.ValidationError) as error:
                    faults.append(f"{name}, {label}: {error}")
                    continue
                found.setdefault(name, {})[label] = ratios
                known = pinned.get(name, {}).get(label)
                if "--update" not in sys.argv and (
                        known is None or any(ratios[key] < known[key] - TOLERANCE for key in known)):
                    faults.append(f"{name}, {label}: {ratios} dB, pinned {known}")
    if "--update" in sys.argv and not faults:
        PINNED.write_text(json.dumps(found, indent=1) + "\n")
    if "--markdown" in sys.argv:
        print("\n## Calibration settings\n\nSQNR of the output in dB, fake-quant / QDQ model, 32 samples. Command: "
              "`tests/workflow/matrix.py build/bin/amct --all --markdown`.\n")
        print("| model | " + " | ".join(SETTINGS) + " |\n|---|" + "---|" * len(SETTINGS))
    for name, row in found.items():
        cells = [f"{r['fake']:.1f} / {r['qdq']:.1f}" for r in row.values()]
        print("| " + " | ".join([name, *cells]) + " |")
    for line in faults:
        print("FAULT", line)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

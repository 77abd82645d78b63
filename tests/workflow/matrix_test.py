"""Six calibration settings on six real models: every exported file is valid, computes in ONNX Runtime the integers that amct
computes, and is as near to the float network as pinned/matrix.json says.

The deploy model runs in amct's integers and agrees with the simulation. A setting that leaves less than LEAST dB of a network is
no measure of anything: its number is neither pinned nor printed, what its files compute is checked all the same. Models that take
longer are left to --all; --markdown prints the table for docs/benchmarks.md.

usage: matrix_test.py [--all] [--update] [--markdown]      --update writes pinned/matrix.json
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx

from support import model_data
from support.assets import ROOT, assets_or_exit
from support.onnx_runtime import session
from support.program import amct, amct_json
from support.quantized_parts import QuantizedParts, agree

PINNED = ROOT / "tests/workflow/pinned/matrix.json"
TOLERANCE = 1.0  # dB
LEAST = 10.0  # dB
SETTINGS = {
    "ifmr, int8": "common_config { arq_quantize { } ifmr_quantize { } }",
    "hfmg symmetric, int8": "activation_offset: false common_config { arq_quantize { } hfmg_quantize { num_of_bins: 2048 } }",
    "ifmr, int16 activations": "common_config { arq_quantize { } ifmr_quantize { dst_type: INT16 } }",
    "ifmr, int4 weights": "common_config { arq_quantize { quant_bits: 4 } ifmr_quantize { } }",
    "ifmr, 6-bit weights of convolutions": "common_config { arq_quantize { quant_bits: 6 } ifmr_quantize { } }",
    "narrow search, balanced, 7 bits per tensor":
        "common_config { arq_quantize { channel_wise: false quant_bits: 7 } dmq_balancer { migration_strength: 0.4 } "
        "ifmr_quantize { search_range_start: 0.8 search_range_end: 1.1 search_step: 0.05 max_percentile: 0.9999 } }",
}
FAST = ["mnist_cntk", "resnet8_cifar10", "vnn_mnistfc_256x4"]
ALL = [*FAST, "mobilenet_v1_025", "mobilenet_v2", "nanodet_m"]


class Case:
    def __init__(self, item, work):
        self.item, self.work = item, work
        self.data = model_data.data_for(item, work)

    def compare(self, first, second):
        ratio = amct_json("compare", first, second, *self.data, "--samples", 8, "--layers", 0)["logit_sqnr_db"]
        return 300.0 if ratio is None else ratio

    def check_runtime(self, path, wide):
        """Valid, and ONNX Runtime computes what amct computes node by node: every integer from the same integers, but for a few
        that the last bit of a float sum carries to the next quantum. `wide`: of 16 bits, whose quanta are nearer to that bit."""
        onnx.checker.check_model(onnx.load(str(path)), full_check=True)
        item, = session(path, optimize=False).get_inputs()
        x = np.random.default_rng(3).uniform(-1, 1, [d if isinstance(d, int) else 1 for d in item.shape]).astype(np.float32)
        count = QuantizedParts(path).compare({item.name: x}, "--exact")
        if not agree(count, 1e-3 if wide else 2e-5):
            raise RuntimeError(f"{path.name}: {count} against ONNX Runtime")

    def run(self, setting):
        config, prefix = self.work / "settings.cfg", self.work / "q"
        config.write_text(setting)
        amct("quantize", self.item.path, *self.data, "--samples", 32, "--config", config, "--out", prefix, "--quiet")
        fake, qdq, deploy = (pathlib.Path(f"{prefix}_{name}.onnx") for name in ("fake_quant_model", "qdq", "deploy_model"))
        for path in (fake, qdq):
            self.check_runtime(path, "INT16" in setting)
        if self.compare(fake, deploy) < 60:
            raise RuntimeError("the deploy model is not what the simulation says")
        ratios = {"fake": round(self.compare(self.item.path, fake), 1), "qdq": round(self.compare(self.item.path, qdq), 1)}
        return ratios if min(ratios.values()) >= LEAST else None


def cell(ratios):
    return f"{ratios['fake']:.1f} / {ratios['qdq']:.1f}" if ratios else f"below {LEAST:.0f}"


def falls_short(ratios, pinned):
    """Of a setting whose ratios are pinned, or None where they stand below LEAST."""
    return pinned is not None and (ratios is None or any(ratios[key] < pinned[key] - TOLERANCE for key in pinned))


def main():
    assets_or_exit()
    names = ALL if "--all" in sys.argv or "--update" in sys.argv else FAST
    pinned = json.loads(PINNED.read_text()) if PINNED.exists() else {}
    found, faults = {}, []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(model_data.model(name), pathlib.Path(folder))
            for label, setting in SETTINGS.items():
                try:
                    ratios = case.run(setting)
                except (RuntimeError, onnx.checker.ValidationError) as error:
                    faults.append(f"{name}, {label}: {error}")
                    continue
                found.setdefault(name, {})[label] = ratios
                if "--update" in sys.argv:
                    continue
                known = pinned.get(name, {})
                if label not in known or falls_short(ratios, known[label]):
                    faults.append(f"{name}, {label}: {cell(ratios)} dB, pinned {cell(known.get(label))}")
    if "--update" in sys.argv and not faults:
        PINNED.write_text(json.dumps(found, indent=1) + "\n")
    if "--markdown" in sys.argv:
        print("\n## Calibration settings\n\nSQNR of the output in dB, fake-quant / QDQ model, 32 samples. Numbers "
              f"below {LEAST:.0f} dB are not given: without training, 4 bits with one scale for a channel are too few for most "
              "networks, and 7 bits with one scale for a tensor for mobilenet_v1_025. Command: "
              "`scripts/python tests/workflow/matrix_test.py --all --markdown`.\n")
        print("| model | " + " | ".join(SETTINGS) + " |\n|---|" + "---|" * len(SETTINGS))
    for name, row in found.items():
        print("| " + " | ".join([name, *map(cell, row.values())]) + " |")
    for line in faults:
        print("FAULT", line)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

"""Non-uniform weights: few distinct values chosen for the weights alone, and weighted by the mean squares of what the weights
multiply (--nuq-weighted). Prints Markdown: SQNR of the fake-quant model's output in dB, and top-1 where there are labels.

usage: nuq.py [--amct build/bin/amct]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import model_data  # noqa: E402

TEXT = """
## Non-uniform weights

SQNR of the fake-quant model's output in dB (top-1 of 300 photographs). Weighted (`--nuq-weighted`): the distinct values of a layer cost least
in the expected error of its result instead of in the error of its weights. That is better in 9 of 12 cases and worse in 3, because inputs
are correlated and errors of one layer meet those of others; try both. Command: `scripts/python bench/nuq.py`.
"""
NAMES = ["mnist_cntk", "mobilenet_v1_025", "mobilenet_v2", "resnet8_cifar10", "ultraface_rfb320_simplified", "vnn_mnistfc_256x4"]


def measured(amct, item, work, *settings):
    data = model_data.data_for(item, work)
    labels = ["--labels", data[1] / "labels.txt"] if item.data == "imagenet" else []
    done = subprocess.run([amct, "--json", "--quiet", "quantize", item.path, *data, *labels, *settings, "--emit", "fake", "--out",
                           work / "q"], check=True, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    return f"{report['sqnr_db']:.1f}" + (f" ({report['accuracy_after']['top1']:.1f} %)" if labels else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--amct", default=ROOT / "build/bin/amct")
    amct = parser.parse_args().amct
    print(TEXT)
    print("| model | uniform | 32 | 32 weighted | 16 | 16 weighted |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        for name in NAMES:
            item = model_data.model(name)
            cells = [measured(amct, item, work, *settings) for settings in
                     ([], ["--nuq", "32"], ["--nuq", "32", "--nuq-weighted"], ["--nuq", "16"], ["--nuq", "16", "--nuq-weighted"])]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

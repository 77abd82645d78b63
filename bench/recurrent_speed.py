"""Recurrent layers at the extents of audio networks: amct against ONNX Runtime, in turn within one run. Prints Markdown.

usage: recurrent_speed.py [--rounds N] [--threads 1,2]
"""

import argparse
import pathlib
import tempfile

from float_speed import Network, measure, reason_of
from support.recurrent import bare_layer
from tables import row

# operator, attributes, batch, inputs, hidden units, steps
CASES = [
    ("LSTM", {}, 1, 40, 128, 1),
    ("LSTM", {}, 1, 40, 128, 100),
    ("LSTM", {}, 1, 128, 128, 4),
    ("LSTM", {}, 1, 80, 256, 100),
    ("LSTM", {}, 1, 256, 256, 1),
    ("LSTM", {}, 1, 256, 256, 200),
    ("LSTM", {}, 1, 256, 512, 1),
    ("LSTM", {}, 1, 256, 512, 50),
    ("LSTM", {"direction": "bidirectional"}, 1, 128, 256, 100),
    ("LSTM", {}, 8, 80, 256, 100),
    ("GRU", {}, 1, 40, 128, 100),
    ("GRU", {"linear_before_reset": 1}, 1, 128, 256, 100),
    ("GRU", {"linear_before_reset": 1}, 8, 128, 256, 100),
    ("RNN", {}, 1, 128, 256, 100),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    arguments = parser.parse_args()
    print("\n## Recurrent layers\n\nMicroseconds of a run; ratio = amct / ONNX Runtime, below 1 is faster. "
          "Command: `scripts/python bench/recurrent_speed.py`.\n")
    print("| layer | batch | inputs | hidden | steps |" + "".join(
        f" {t} thread{'s' * (t > 1)}: ONNX Runtime | amct | ratio |" for t in arguments.threads))
    print("|---|---|---|---|---|" + "---|---|---|" * len(arguments.threads))
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        for kind, attributes, *extents in CASES:
            bare_layer(work / "layer.onnx", kind, *extents, **attributes)
            cells = []
            for threads in arguments.threads:
                try:
                    mine, other, ratio = measure(Network(work / "layer.onnx"), extents[0], threads, arguments.rounds, work)
                    cells += [f"{1e6 * other:.0f}", f"{1e6 * mine:.0f}", f"{ratio:.2f}"]
                except Exception as error:
                    cells += [reason_of(error), "", ""]
            row(" ".join([kind, *map(str, attributes.values())]), *map(str, extents), *cells)


if __name__ == "__main__":
    main()

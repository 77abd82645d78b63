"""A language model with 4- and 8-bit weights, one scale for a matrix or one for each group of inputs. Prints Markdown.

stories260K of the assets, calibrated on 32 token sequences, measured in ONNX Runtime on 32 others: size of the QDQ file, SQNR of
its logits and of the fake-quant model's against float, and perplexity.

usage: weight_groups.py
"""

import pathlib
import subprocess
import tempfile

import numpy as np

from support import model_data
from support.assets import ASSETS, ROOT
from support.measures import sqnr
from support.onnx_runtime import session

AMCT = ROOT / "build/bin/amct"
SETTINGS = [[], ["--weight-bits", "4"], ["--weight-bits", "4", "--weight-group", "64"],
            ["--weight-bits", "4", "--weight-group", "32"],
            ["--weight-bits", "4", "--weight-group", "32", "--activation-bits", "16"],
            ["--weight-group", "32", "--activation-bits", "16"],
            ["--weight-only"], ["--weight-only", "--weight-bits", "4"],
            ["--weight-only", "--weight-bits", "4", "--weight-group", "32"], ["--weight-only", "--weight-group", "32"]]


def logits(path, tokens):
    runner = session(path)
    return np.stack([runner.run(None, {"input_ids": row[None, :-1]})[0][0] for row in tokens]).astype(np.float64)


def perplexity(values, tokens):
    values = values - values.max(-1, keepdims=True)
    chances = values - np.log(np.exp(values).sum(-1, keepdims=True))
    return np.exp(-np.take_along_axis(chances, tokens[:, 1:, None], -1).mean())


def main():
    item = model_data.model("stories260K")
    length = model_data.inputs_of(item.path)["input_ids"][1]
    tokens = np.load(ASSETS / "llm/sampled_tokens_64x256.npy")[32:, :length + 1].astype(np.int64)
    reference = logits(item.path, tokens)
    print("\n## Groups of weights\n\nstories260K: QDQ file in ONNX Runtime, SQNR of the logits, perplexity. Command: "
          "`scripts/python bench/weight_groups.py`.\n\n| settings | kB | QDQ | fake-quant | perplexity |\n|---|---|---|---|---|")
    print(f"| float | {item.path.stat().st_size / 1000:.0f} | | | {perplexity(reference, tokens):.3f} |")
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        for settings in SETTINGS:
            subprocess.run([AMCT, "quantize", item.path, *model_data.data_for(item, work), "--out", work / "q", *settings],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            qdq, fake = (logits(work / f"q_{name}.onnx", tokens) for name in ("qdq", "fake_quant_model"))
            print(f"| {' '.join(settings) or 'defaults (8 bits)'} | {(work / 'q_qdq.onnx').stat().st_size / 1000:.0f} | "
                  f"{sqnr(reference, qdq):.1f} dB | {sqnr(reference, fake):.1f} dB | {perplexity(qdq, tokens):.3f} |")


if __name__ == "__main__":
    main()

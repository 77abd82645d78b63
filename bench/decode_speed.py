"""What a language model does for every new token: products with 4-bit weights and attention over earlier tokens, amct against
ONNX Runtime, in turn within one run, on one thread. Prints Markdown.

usage: decode_speed.py [--rounds N]
"""

import argparse
import pathlib
import tempfile

import numpy as np
from onnx import helper

from float_speed import Network, measure, reason_of
from support.models import save_model
from tables import row

PRODUCTS = [(4, 32, 2048, 2048, 1), (4, 32, 2048, 2048, 4), (4, 128, 4096, 11008, 1), (8, 32, 2048, 2048, 1)]
ATTENTIONS = [(32, 8, 128, 512), (32, 8, 128, 2048), (32, 32, 64, 512)]


def product(path, bits, block, k, n, rows):
    random = np.random.default_rng(1)
    weights = {"w": random.integers(0, 256, (n, k // block, block * bits // 8)).astype(np.uint8),
               "s": (random.random(n * k // block) * 0.02 + 0.01).astype(np.float32)}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=k, N=n, bits=bits, block_size=block)
    save_model(path, [node], [("x", [rows, k])], [("y", [rows, n])], weights, opset=17)


def attention(path, heads, kv_heads, width, past):
    node = helper.make_node("GroupQueryAttention", ["q", "k", "v", "past_k", "past_v", "lengths", "total"],
                            ["y", "present_k", "present_v"], domain="com.microsoft", num_heads=heads, kv_num_heads=kv_heads)
    fresh, cache, grown = ([1, 1, kv_heads * width], [1, kv_heads, past, width], [1, kv_heads, past + 1, width])
    save_model(path, [node], [("q", [1, 1, heads * width]), ("k", fresh), ("v", fresh), ("past_k", cache), ("past_v", cache)],
         [("y", [1, 1, heads * width]), ("present_k", grown), ("present_v", grown)],
         {"lengths": np.array([past], np.int32), "total": np.array([past + 1], np.int32)}, opset=17)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print("\n## Decoding\n\nMicroseconds of a run of one thread; ratio = amct / ONNX Runtime, below 1 is faster. "
          "Command: `scripts/python bench/decode_speed.py`.\n")
    print("| operator | ONNX Runtime | amct | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        cases = [(f"MatMulNBits, {b} bits in blocks of {g}, {m} x {k} x {n}", product, (b, g, k, n, m))
                 for b, g, k, n, m in PRODUCTS]
        cases += [(f"GroupQueryAttention, {h} heads of {w}, {kv} of keys, {past} earlier tokens", attention, (h, kv, w, past))
                  for h, kv, w, past in ATTENTIONS]
        for label, make, extents in cases:
            make(work / "operator.onnx", *extents)
            try:
                mine, other, ratio = measure(Network(work / "operator.onnx"), 1, 1, arguments.rounds, work)
                row(label, f"{1e6 * other:.0f}", f"{1e6 * mine:.0f}", f"{ratio:.2f}")
            except Exception as error:
                row(label, reason_of(error), "", "")


if __name__ == "__main__":
    main()

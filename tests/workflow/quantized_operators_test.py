"""Every operator of a Q/DQ network gives the integers that ONNX Runtime gives for the same integers: at most one element in
a thousand differs, and by one quantum.

usage: quantized_operators_test.py [--isa NAME] [--assets [NETWORK…]] [--theirs]
Each quantized tensor of a network becomes an output. What stands between it and the quantized tensors before it is run in
ONNX Runtime alone, all optimizations on, on the integers that amct computed, so that deviations do not add up.
Small networks made here run every day; --assets takes the networks of the assets as `amct quantize` writes them, and with
--theirs also as ONNX Runtime's quantizer writes them.
"""

import argparse
import pathlib
import sys
import tempfile

import numpy as np
import onnx

from support.assets import assets_or_exit
from support.models import Builder, model_of
from support.program import amct
from support.quantized_parts import QuantizedParts
from support.their_quantizer import prepare_and_quantize

SEED = 11
BOUND = 1e-3  # share of the elements of a network that may differ, each by one quantum
NETWORKS = {
    "mobilenet_v1_025": (1, 3, 224, 224),
    "mobilenet_v2": (1, 3, 224, 224),
    "resnet8_cifar10": (1, 3, 32, 32),
    "mnist_cntk": (1, 1, 28, 28),
    "vnn_cifar10_resnet_4b": (1, 3, 32, 32),
    "ultraface_rfb320_simplified": (1, 3, 240, 320),
    "nanodet_m": (1, 3, 416, 416),
    "vnn_oval21_cifar_base_kw": (1, 3, 32, 32),
}


def optimize_of(kinds):
    """Its softmax of integers takes 1 / y_scale rounded down to an integer; in floats it computes what the file says."""
    return "Softmax" not in kinds


class Quantized(Builder):
    """Q/DQ networks by hand."""

    def round_trip(self, x, scale, zero, dtype=np.uint8):
        parameters = self.constant(np.float32(scale)), self.constant(dtype(zero))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *parameters), *parameters)

    def weight(self, *shape, axis=0):
        values = self.random.integers(-127, 128, shape, dtype=np.int8)
        scales = self.random.uniform(0.5, 1.5, shape[axis]) / 127 / np.sqrt(values.size / shape[axis])
        scales = scales.astype(np.float32)
        return self.node("DequantizeLinear", self.constant(values), self.constant(scales),
                         self.constant(np.zeros(shape[axis], np.int8)), axis=axis), scales

    def bias(self, x_scale, scales):
        values = self.random.integers(-2000, 2000, scales.size, dtype=np.int32)
        return self.node("DequantizeLinear", self.constant(values), self.constant(np.float32(x_scale) * scales),
                         self.constant(np.zeros(scales.size, np.int32)), axis=0)

    def model(self, shape):
        return model_of(self.nodes, [("x", shape)], [(self.nodes[-1].output[0], None)], self.constants, opset=17)


def convolutional(random):
    """Convolutions of all kinds, residual sums, pools, concatenation, activations and a classifier."""
    b = Quantized(random)

    def conv(x, x_scale, inputs, outputs, kernel, scale, zero, limit=None, **attrs):
        w, scales = b.weight(outputs, inputs // attrs.get("group", 1), kernel, kernel)
        y = b.node("Conv", x, w, b.bias(x_scale, scales), pads=[kernel // 2] * 4, **attrs)
        return b.round_trip(b.node(limit, y) if limit else y, scale, zero)

    x = b.round_trip("x", 0.031, 128)
    first = conv(x, 0.031, 3, 24, 3, 0.017, 0, "Relu", strides=[2, 2])
    depthwise = conv(first, 0.017, 24, 24, 3, 0.013, 0, "Relu", group=24)
    second = conv(depthwise, 0.013, 24, 24, 1, 0.021, 119)
    total = b.round_trip(b.node("Add", first, second), 0.023, 90)
    gate = b.round_trip(b.node("Sigmoid", total), 1 / 256, 0)
    swish = b.round_trip(b.node("Mul", total, gate), 0.0187, 12)
    pooled = b.round_trip(b.node("AveragePool", swish, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 0.01493, 11)
    hard = b.round_trip(b.node("HardSwish", pooled), 0.012, 30)
    joined = b.round_trip(b.node("Concat", pooled, hard, axis=1), 0.01493, 11)
    mean = b.round_trip(b.node("GlobalAveragePool", joined), 0.01, 20)
    flat = b.node("Flatten", mean)
    w, scales = b.weight(48, 10, axis=1)
    b.round_trip(b.node("Gemm", flat, w, b.bias(0.01, scales)), 0.02, 128)
    return b.model([2, 3, 65, 63]), {"x": random.standard_normal((2, 3, 65, 63)).astype(np.float32)}


def attention(random):
    """Products of matrices, with constant and with computed operands."""
    b = Quantized(random)
    x = b.round_trip("x", 0.03, 125)
    key = b.round_trip(b.node("MatMul", x, b.weight(48, 64, axis=1)[0]), 0.04, 127)
    query = b.round_trip(b.node("MatMul", x, b.weight(48, 64, axis=1)[0]), 0.04, 130)
    transposed = b.node("Transpose", key, perm=[0, 2, 1])
    scores = b.round_trip(b.node("MatMul", query, transposed), 0.3, 128)
    b.round_trip(b.node("MatMul", b.round_trip(b.node("Tanh", scores), 1 / 128, 128), x), 0.1, 128)
    return b.model([2, 31, 48]), {"x": random.standard_normal((2, 31, 48)).astype(np.float32)}


def made_networks(work, random):
    for make in (convolutional, attention):
        model, feed = make(random)
        onnx.save(model, str(work / f"{make.__name__}.onnx"))
        yield make.__name__, work / f"{make.__name__}.onnx", feed


def asset_networks(names, theirs, work, random):
    assets = assets_or_exit()
    for name in names or NETWORKS:
        shape = NETWORKS[name]
        path = assets / "onnx" / f"{name}.onnx"
        samples = random.standard_normal((8, *shape[1:])).astype(np.float32)
        np.save(work / "samples.npy", samples)
        amct("--quiet", "quantize", path, "--data", work / "samples.npy", "--out", work / name)
        files = {"amct": work / f"{name}_qdq.onnx"}
        input_name, = QuantizedParts(files["amct"]).inputs
        if theirs:
            files["ONNX Runtime"] = work / "theirs.onnx"
            prepare_and_quantize(path, files["ONNX Runtime"], [{input_name: sample[None]} for sample in samples])
        for quantizer, file in files.items():
            yield f"{name}, quantized by {quantizer}", file, {input_name: samples[:1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa")
    parser.add_argument("--assets", nargs="*", default=None)
    parser.add_argument("--theirs", action="store_true")
    arguments = parser.parse_args()
    options = ["--isa", arguments.isa] if arguments.isa else []
    random = np.random.default_rng(SEED)
    by_kind, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        networks = (made_networks(work, random) if arguments.assets is None else
                    asset_networks(arguments.assets, arguments.theirs, work, random))
        for name, path, feed in networks:
            count = QuantizedParts(path).compare(feed, *options, optimize_of=optimize_of, by_kind=by_kind)
            print(f"{name}: {count.elements} elements, {count.one} differ by one quantum ({count.one / count.elements:.1e}), "
                  f"{count.more} by more", flush=True)
            if count.one > BOUND * count.elements or count.more > 0 or count.elements == 0:
                wrong.append(name)
    print("\nby operator: elements, one quantum, more")
    for kind, counts in sorted(by_kind.items(), key=lambda item: -item[1][1:].sum()):
        print(f"{kind:40} {counts[0]:10} {counts[1]:8} {counts[2]:6}")
    totals = sum(by_kind.values())
    print(f"{'all':40} {totals[0]:10} {totals[1]:8} {totals[2]:6}")
    if wrong:
        sys.exit(f"seed {SEED}: more than {BOUND:.1%} of the elements differ, or by more than a quantum: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

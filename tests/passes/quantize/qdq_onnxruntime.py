"""QDQ files in ONNX Runtime: every convolution, Gemm and Add in integers, and as fast as its own quantizer's files.

usage: qdq_onnxruntime.py QUANT_TOOL
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import version_converter

try:
    from onnxruntime import quantization
except ImportError as error:  # it needs ml_dtypes
    quantization = None
    print(f"left out: the comparison with ONNX Runtime's own quantizer ({error})")

from support.assets import assets_or_exit

SEED = 7
MODELS = {
    "mobilenet_v1_025": (1, 3, 224, 224),
    "mobilenet_v2": (1, 3, 224, 224),
    "resnet8_cifar10": (1, 3, 32, 32),
}
# Arithmetic that has an integer form in ONNX Runtime; what is left of it under these names runs in float.
ARITHMETIC = {"Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "FusedGemm", "Add", "GlobalAveragePool", "AveragePool"}


def session(path, optimized=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def sqnr(reference, other):
    noise = np.sum((reference - other) ** 2)
    return 10 * np.log10(np.sum(reference**2) / max(noise, 1e-30))


class Batch:
    """Calibration data of one batch, as ONNX Runtime's quantizer takes it."""

    def __init__(self, name, data):
        self.batches = iter([{name: data}])

    def get_next(self):
        return next(self.batches, None)


def fastest(runs, feeds, rounds=12):
    """The least time of each session, taken in turn."""
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run.run(None, feeds)
            best[i] = min(best[i], time.perf_counter() - start)
    return best


def check(tool, folder, model, shape, faults):
    name = model.stem
    data = np.random.default_rng(SEED).uniform(-1, 1, shape).astype(np.float32)
    np.save(folder / "x.npy", data)
    ours, fake = folder / f"{name}_qdq.onnx", folder / f"{name}_fake.onnx"
    subprocess.run([tool, "qdq", model, folder / "x.npy", "ort", ours], check=True)
    subprocess.run([tool, "fake", model, folder / "x.npy", fake], check=True)
    onnx.checker.check_model(onnx.load(ours), full_check=True)
    onnx.checker.check_model(onnx.load(fake), full_check=True)

    quantized = session(ours, folder / "optimized.onnx")
    feeds = {quantized.get_inputs()[0].name: data}
    counts = collections.Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
    left = {op: n for op, n in counts.items() if op in ARITHMETIC}
    float_session, fake_session = session(model), session(fake)
    reference = float_session.run(None, feeds)[0]
    ratio = sqnr(reference, quantized.run(None, feeds)[0])
    fake_ratio = sqnr(reference, fake_session.run(None, feeds)[0])
    np.save(folder / "input.npy", data)
    subprocess.run([tool, "run", ours, folder / "input.npy", folder / "y.npy"], check=True)
    own = sqnr(quantized.run(None, feeds)[0], np.load(folder / "y.npy"))
    print(f"{name}: left in float {left or 'nothing'}; SQNR {ratio:.1f} dB, fake-quant {fake_ratio:.1f} dB, "
          f"our executor against ONNX Runtime {own:.1f} dB; {dict(counts)}")
    if left:
        faults.append(f"{name}: left in float: {left}")
    if own < 20:
        faults.append(f"{name}: our executor and ONNX Runtime differ: {own:.1f} dB")
    if ratio < fake_ratio - 3:
        faults.append(f"{name}: QDQ {ratio:.1f} dB, fake-quant {fake_ratio:.1f} dB")

    compared = {"ours": quantized, "float": float_session}
    if quantization is not None:
        compared["ONNX Runtime's quantizer"] = session(quantized_by_onnxruntime(folder, model, feeds))
    times = fastest(list(compared.values()), feeds)
    print(f"{name}: " + ", ".join(f"{what} {took * 1e3:.2f} ms" for what, took in zip(compared, times)))


def quantized_by_onnxruntime(folder, model, feeds):
    raised, prepared, result = folder / "raised.onnx", folder / "prepared.onnx", folder / "theirs.onnx"
    onnx.save(version_converter.convert_version(onnx.load(model), 13), raised)  # per channel needs opset 13
    quantization.shape_inference.quant_pre_process(str(raised), str(prepared), skip_symbolic_shape=True)
    (name, data), = feeds.items()
    quantization.quantize_static(
        str(prepared), str(result), Batch(name, data), per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    return result


def main():
    tool = sys.argv[1]
    models = assets_or_exit() / "onnx"
    faults = []
    for name, shape in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            check(tool, pathlib.Path(folder), models / f"{name}.onnx", shape, faults)
    for fault in faults:
        print("FAULT", fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

"""QDQ files in ONNX Runtime: every convolution, Gemm and Add in integers, the integers those that our executor computes, and not
much slower than the files of ONNX Runtime's own quantizer.

usage: qdq_onnxruntime_test.py QUANT_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

from support.assets import assets_or_exit
from support.measures import sqnr
from support.onnx_runtime import kernels, session
from support.quantized_parts import QuantizedParts, agree
from support.their_quantizer import prepare_and_quantize

SEED = 7
SLOWER = 2  # the least of twelve runs on a machine that others use too
MODELS = {
    "mobilenet_v1_025": (1, 3, 224, 224),
    "mobilenet_v2": (1, 3, 224, 224),
    "resnet8_cifar10": (1, 3, 32, 32),
}
# Arithmetic that has an integer form in ONNX Runtime; what is left of it under these names runs in float.
ARITHMETIC = {"Conv", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "FusedGemm", "Add", "GlobalAveragePool", "AveragePool"}


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

    counts = kernels(ours, folder)
    left = {op: n for op, n in counts.items() if op in ARITHMETIC}
    quantized, float_session = session(ours), session(model)
    feeds = {quantized.get_inputs()[0].name: data}
    reference = float_session.run(None, feeds)[0]
    ratio = sqnr(reference, quantized.run(None, feeds)[0])
    fake_ratio = sqnr(reference, session(fake).run(None, feeds)[0])
    count = QuantizedParts(ours).compare(feeds)
    print(f"{name}: left in float {left or 'nothing'}; SQNR {ratio:.1f} dB, fake-quant {fake_ratio:.1f} dB, "
          f"our executor against ONNX Runtime {count}; {dict(counts)}")
    if left:
        faults.append(f"{name}: left in float: {left}")
    if not agree(count, 1e-4):
        faults.append(f"{name}: our executor and ONNX Runtime differ: {count}")
    if ratio < fake_ratio - 3:
        faults.append(f"{name}: QDQ {ratio:.1f} dB, fake-quant {fake_ratio:.1f} dB")

    theirs = folder / "theirs.onnx"
    prepare_and_quantize(model, theirs, [feeds])
    times = fastest([quantized, float_session, session(theirs)], feeds)
    print(f"{name}: " + ", ".join(f"{what} {took * 1e3:.2f} ms" for what, took in
                                  zip(("ours", "float", "ONNX Runtime's quantizer"), times)))
    if times[0] > SLOWER * times[2]:
        faults.append(f"{name}: {times[0] / times[2]:.1f} times as slow as the file of ONNX Runtime's quantizer")


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

"""The record file of every network of the assets that quantizes, byte for byte the same with 1, 2, 3 and 8 threads, with 1, 3
and 8 samples at a time, with the samples in another order, and in 2 and 3 processes; under --isa too."""

import json
import pathlib
import sys
import tempfile

import numpy as np

from support.assets import assets_or_exit
from support.model_data import inputs_of
from support.program import amct

SAMPLES = 11  # more than any number of threads, and no multiple of one
NETWORKS = ["mnist_cntk", "mobilenet_v1_025", "mobilenet_v2", "nanodet_m", "resnet8_cifar10", "ultraface_rfb320_simplified",
            "vnn_cifar10_resnet_4b", "vnn_eran_mnist_relu_9_200", "vnn_marabou_cifar10_large", "vnn_mnistfc_256x4",
            "vnn_oval21_cifar_base_kw"]


def samples_of(path):
    first = next(iter(inputs_of(path).values()))
    shape = first[1:]
    gains = np.linspace(0.4, 1.1, SAMPLES).reshape(-1, *[1] * len(shape))
    return (np.random.default_rng(5).standard_normal((SAMPLES, *shape)) * gains).astype(np.float32)


def record(model, data, work, *options):
    """Bytes of the record file, and the instruction set that the plan names."""
    prefix = work / "out"
    amct("quantize", model, "--data", data, "--emit", "deploy", "--out", prefix, "-q", *options)
    return (pathlib.Path(f"{prefix}_record.txt").read_bytes(),
            json.loads(pathlib.Path(f"{prefix}_plan.json").read_text())["isa"])


def main():
    root = assets_or_exit()
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in NETWORKS:
            path = root / "onnx" / f"{name}.onnx"
            samples = samples_of(path)
            np.save(work / "samples.npy", samples)
            np.save(work / "shuffled.npy", samples[np.random.default_rng(3).permutation(SAMPLES)])
            expected, isa = record(path, work / "samples.npy", work, "--threads", "1")
            assert b"scale_d" in expected, name
            for threads in (1, 2, 3, 8):
                for batch in (1, 3, 8):
                    for data in ("samples.npy", "shuffled.npy"):
                        got, _ = record(path, work / data, work, "--threads", str(threads), "--batch", str(batch))
                        if got != expected:
                            failures.append(f"{name}: {threads} threads, batch {batch}, {data}")
            for workers in (2, 3):
                got, _ = record(path, work / "samples.npy", work, "--workers", str(workers), "--threads", "4")
                if got != expected:
                    failures.append(f"{name}: {workers} processes")
            pinned = [record(path, work / "samples.npy", work, "--threads", str(n), "--isa", "avx2") for n in (1, 3)]
            if pinned[0] != pinned[1] or pinned[0][1] != "avx2":
                failures.append(f"{name}: --isa avx2")
            print(f"{name}: {isa}", flush=True)
    for failure in failures:
        print("differs:", failure)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()

"""Calibration: amct against ONNX Runtime's plain inference over the same samples, in turn within one run. Prints Markdown.

Time: compiling, running and observing, choosing factors, with samples that are arrays already; ONNX Runtime at batch 1 in the
faster of two modes (two threads in one session, two sessions of one thread), without making its sessions. Observing alone:
amct_bench, the processor's time of one thread. Memory: the peak of a whole `amct quantize` over 16 and over 4096 samples; of a
process that does nothing but run one ONNX Runtime session of one thread at batch 1, times the cores.

usage: calibration_speed.py [--rounds N] [--samples N…] [--many N]       --many 0 leaves the memory out
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import float_speed
import networks
from measure import measured
from support.assets import ROOT
from tables import row

AMCT = ROOT / "build/bin/amct"
AMCT_BENCH = ROOT / "build/bin/amct_bench"
NETWORKS = ["resnet50", "mobilenet_v2"]
PREPROCESS = networks.Network("", "", "imagenet", "")
PLAIN = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
for _ in range(3):
    session.run(None, {session.get_inputs()[0].name: numpy.load(sys.argv[2])[numpy.newaxis]})
"""


def quantizing(path, data, samples, work):
    """The command line."""
    return [str(AMCT), "--json", "--quiet", "quantize", str(path), "--data", str(data), "--samples", str(samples), "--out",
            str(work / "out")]


def calibration_seconds(path, data, samples, work):
    done = subprocess.run(quantizing(path, data, samples, work), check=True, stdout=subprocess.PIPE)
    seconds = json.loads(done.stdout)["seconds"]
    return seconds["compile"] + seconds["calibrate"] + seconds["search"]


def plain_seconds(modes, samples):
    """The faster mode of ONNX Runtime over all samples; each session takes its share of them."""
    best = []
    for engine in modes:
        start = time.perf_counter()
        engine.seconds(len(samples) // len(engine.sessions))
        best.append(time.perf_counter() - start)
        time.sleep(float_speed.PAUSE)
    return min(best)


def observing(path):
    """Share of the forward pass that observing adds."""
    environment = {**os.environ, "AMCT_BENCH_MODELS": str(path)}
    done = subprocess.run([AMCT_BENCH, "--benchmark_filter=observe", "--benchmark_format=json", "--benchmark_min_time=2"],
                          env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)["benchmarks"][0]["share"]


def time_table(images, counts, rounds, work):
    print("| network | samples | ONNX Runtime, plain inference s | amct, calibration s | ratio | observing / forward pass |\n"
          "|---|---|---|---|---|---|")
    for network, count in itertools.product(float_speed.all_networks(NETWORKS), counts):
        samples = images[:count]
        np.save(work / "samples.npy", samples)
        inputs = {next(iter(network.inputs(1))): samples[:1]}
        modes = [float_speed.Theirs(network.path, inputs, *mode) for mode in ((2, 1), (1, 2))]
        plain_seconds(modes, samples[:8])
        pairs = [(plain_seconds(modes, samples), calibration_seconds(network.path, work / "samples.npy", len(samples), work))
                 for _ in range(rounds)]
        theirs, ours = (statistics.median(column) for column in zip(*pairs))
        row(network.path.stem, str(len(samples)), f"{theirs:.2f}", f"{ours:.2f}",
                        f"{statistics.median(b / a for a, b in pairs):.2f}", f"{100 * observing(network.path):.0f} %")


def memory_table(samples, many, work):
    print(f"\n| network | peak MB: amct quantize, 16 samples | {many} samples | ONNX Runtime, batch 1 | times {os.cpu_count()} cores "
          "|\n|---|---|---|---|---|")
    folder = work / "many"
    folder.mkdir()
    for i, sample in enumerate(samples[:16]):
        np.save(work / f"{i}.npy", sample)
    for i in range(many):
        (folder / f"{i:06d}.npy").symlink_to(work / f"{i % 16}.npy")
    for network in float_speed.all_networks(["mobilenet_v2"]):
        few, all_of_them = (measured(*quantizing(network.path, folder, n, work))["peak_mb"] for n in (16, many))
        plain = measured(sys.executable, "-c", PLAIN, network.path, work / "0.npy")["peak_mb"]
        row(network.path.stem, f"{few:.0f}", f"{all_of_them:.0f}", f"{plain:.0f}",
                        f"{plain * os.cpu_count():.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--many", type=int, default=4096)
    arguments = parser.parse_args()
    print("\n## Calibration\n\nAgainst ONNX Runtime's plain inference over the same samples, decoded before; medians of "
          f"{arguments.rounds} rounds. Command: `scripts/python bench/calibration_speed.py`.\n")
    images = [image for image, _ in networks.imagenet_images()][:max(arguments.samples)]
    samples = np.stack([PREPROCESS.pixels(image) for image in images])
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        time_table(samples, arguments.samples, arguments.rounds, pathlib.Path(folder))
        if arguments.many > 0:
            memory_table(samples, arguments.many, pathlib.Path(folder))


if __name__ == "__main__":
    main()

"""Quantized networks: amct's executor and ONNX Runtime, float and integer, in turn within one run. Prints Markdown.

For each network amct writes a deploy and a Q/DQ file, and ONNX Runtime's quantizer a Q/DQ file of its own; then each engine runs
each file it can for a moment, again and again, on one thread at batch 1. Times are medians; on a machine that others use too,
--cpu counts the time of the processor instead of the clock's. ONNX Runtime has all optimizations on.

usage: integer_speed.py [NETWORK…] [--rounds N] [--cpu]
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

import float_speed
from support.assets import ROOT
from support.model_data import inputs_of
from support.their_quantizer import prepare_and_quantize
from tables import row

AMCT = ROOT / "build/bin/amct"
NETWORKS = ["mobilenet_v1_025", "mobilenet_v2", "resnet8_cifar10", "resnet50"]


def quantize(network, samples, work):
    """Paths of amct's deploy and Q/DQ files, and of ONNX Runtime's Q/DQ file."""
    np.save(work / "samples.npy", samples)
    subprocess.run([AMCT, "quantize", network.path, "--data", work / "samples.npy", "--out", work / "net"], check=True,
                   stdout=subprocess.DEVNULL)
    theirs, (name,) = work / "theirs.onnx", inputs_of(network.path)
    prepare_and_quantize(network.path, theirs, [{name: sample[np.newaxis]} for sample in samples], symbolic_shapes=True)
    return work / "net_deploy_model.onnx", work / "net_qdq.onnx", theirs


class Clock:
    """Seconds of runs of an engine: the clock's, or those of the processor that it used."""

    def __init__(self, engine, cpu):
        self.engine, self.cpu = engine, cpu
        self.count = max(1, round(float_speed.TURN / max(engine.seconds(1), 1e-6)))

    def processor_seconds(self):
        if isinstance(self.engine, float_speed.Theirs):
            return time.process_time()
        fields = pathlib.Path(f"/proc/{self.engine.process.pid}/schedstat").read_text().split()
        return int(fields[0]) / 1e9

    def seconds(self):
        before = self.processor_seconds()
        elapsed = self.engine.seconds(self.count)
        return (self.processor_seconds() - before if self.cpu else elapsed) / self.count


def measure(network, rounds, cpu, folder):
    inputs = network.inputs(1)
    (x,) = inputs.values()
    samples = np.random.default_rng(5).standard_normal((8, *x.shape[1:])).astype(np.float32)
    deploy, qdq, theirs = quantize(network, samples, folder)
    engines = []
    for name, path in (("float", network.path), ("deploy", deploy), ("qdq", qdq), ("their_qdq", theirs)):
        work = folder / name
        work.mkdir()
        engines.append(float_speed.Ours(path, inputs, work))
    engines += [float_speed.Theirs(path, inputs) for path in (network.path, qdq, theirs)]
    clocks = [Clock(engine, cpu) for engine in engines]
    table = [[clock.seconds() for clock in clocks] for _ in range(rounds)]
    for engine in engines[:4]:
        engine.close()
    return [1000 * statistics.median(column) for column in zip(*table)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu", action="store_true")
    arguments = parser.parse_args()
    print("\n## Quantized networks\n\nMilliseconds of a run of one thread at batch 1. \"amct\" and \"ORT\" before a file name its "
          "quantizer, random calibration data; the last column is amct's float network against its deploy model. "
          f"Command: `scripts/python bench/integer_speed.py{' --cpu' if arguments.cpu else ''}`.\n")
    print("| network | amct float | amct: deploy | amct: amct's QDQ | amct: ORT's QDQ | ORT float | ORT: amct's QDQ | "
          "ORT: ORT's QDQ | float / deploy |\n|---|---|---|---|---|---|---|---|---|")
    for network in float_speed.all_networks(arguments.networks):
        with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
            times = measure(network, arguments.rounds, arguments.cpu, pathlib.Path(folder))
        row(network.path.stem, *(f"{t:.2f}" for t in times), f"{times[0] / times[1]:.2f}")


if __name__ == "__main__":
    main()

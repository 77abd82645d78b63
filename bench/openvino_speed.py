"""OpenVINO on amct's QDQ files: speed and result against the float network and against the file for ONNX Runtime.

For each network amct writes the files of the targets `ort` and `openvino` from real images; OpenVINO runs the float network and
both files in turn, on one thread at batch 1, float32 where it computes in float; ONNX Runtime runs the float network and its own
file. Times are the least of all rounds. SQNR against the float network on images that calibration did not see (of the detectors:
those that it saw). Prints Markdown.

usage: openvino_speed.py [NETWORK…] [--rounds N]
"""

import argparse
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import openvino

import pictures
from support import model_data
from support.assets import ROOT
from support.measures import sqnr
from support.onnx_runtime import session

AMCT = ROOT / "build/bin/amct"
NETWORKS = ["mobilenet_v1_025", "mobilenet_v2", "nanodet_m", "resnet8_cifar10", "ultraface_rfb320_simplified"]
SETTINGS = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


class OpenVino:
    def __init__(self, path):
        core = openvino.Core()
        self.compiled = core.compile_model(core.read_model(str(path)), "CPU", SETTINGS)
        self.request = self.compiled.create_infer_request()

    def run(self, x):
        return [np.array(value, np.float64) for value in self.request.infer([x]).values()]

    def integer_layers(self):
        """Convolutions and matrix products: those computed in 8 bits, and all."""
        nodes = [op.get_rt_info() for op in self.compiled.get_runtime_model().get_ordered_ops()]
        kinds = [info["runtimePrecision"].value for info in nodes
                 if info["layerType"].value in ("Convolution", "FullyConnected", "MatMul", "Deconvolution")]
        return sum(kind in ("u8", "i8") for kind in kinds), len(kinds)


class OnnxRuntime:
    def __init__(self, path):
        self.session = session(path)
        self.name = self.session.get_inputs()[0].name

    def run(self, x):
        return self.session.run(None, {self.name: x})


def measure(name, rounds, work):
    item = model_data.model(name)
    files = {}
    for target in ("ort", "openvino"):
        subprocess.run([AMCT, "quantize", item.path, *model_data.data_for(item, work), "--samples", "64", "--emit", "qdq",
                        "--qdq-target", target, "--out", work / target], check=True, stdout=subprocess.DEVNULL)
        files[target] = work / f"{target}_qdq.onnx"
    samples = pictures.samples(item, work)
    engines = {"float": OpenVino(item.path), "ort": OpenVino(files["ort"]), "openvino": OpenVino(files["openvino"]),
               "ort_float": OnnxRuntime(item.path), "ort_ort": OnnxRuntime(files["ort"])}
    best = dict.fromkeys(engines, float("inf"))
    for _ in range(rounds):
        for label, engine in engines.items():
            start = time.perf_counter()
            engine.run(samples[0])
            best[label] = min(best[label], time.perf_counter() - start)
    outputs = {label: [value for x in samples for value in engine.run(x)] for label, engine in engines.items()}
    ratios = {label: sqnr(outputs["float"], outputs[label]) for label in ("ort", "openvino", "ort_ort")}
    layers = {label: "{} of {}".format(*engines[label].integer_layers()) for label in ("ort", "openvino")}
    return {label: 1000 * value for label, value in best.items()}, ratios, layers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    print(f"\n## OpenVINO {openvino.__version__.split('-')[0]}\n\nMilliseconds of a run of one thread at batch 1, 8-bit layers of "
          "all, and SQNR against the float network. Files of the targets `ort` and `openvino`. Command: "
          "`scripts/python bench/openvino_speed.py`.\n")
    print("| network | OpenVINO float | `ort` file | `openvino` file | ORT float | ORT: `ort` file | 8-bit layers `ort` | "
          "`openvino` | SQNR `ort` | `openvino` | ORT: `ort` |\n|---|" + "---|" * 10)
    for name in arguments.networks:
        with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
            times, ratios, layers = measure(name, arguments.rounds, pathlib.Path(folder))
        cells = [name, *(f"{times[k]:.2f}" for k in ("float", "ort", "openvino", "ort_float", "ort_ort")),
                 layers["ort"], layers["openvino"], *(f"{ratios[k]:.1f} dB" for k in ("ort", "openvino", "ort_ort"))]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

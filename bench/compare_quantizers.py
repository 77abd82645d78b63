"""amct against ONNX Runtime's quantizer on the same networks and images, in turn within one run.

For each network: time and peak memory of the whole command (process start to end, JPEG decode included), ONNX Runtime's
plain inference over the same samples, the accuracy of both quantized files in ONNX Runtime on images that neither saw, and
their speed there. Prints Markdown; docs/benchmarks.md holds a run of it.

usage: compare_quantizers.py [RUNS]
"""

import json
import os
import pathlib
import platform
import statistics
import sys
import time

import numpy as np
import onnx
import onnxruntime

import networks
from measure import measured
from support.measures import sqnr
from support.onnx_runtime import session
from tables import row

ROOT = pathlib.Path(__file__).resolve().parents[1]
AMCT = ROOT / "build/bin/amct"
CALIBRATION = 64


def open_session(path, outputs=()):
    """Of all threads, with more outputs."""
    model = onnx.load(str(path))
    names = {o.name for o in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=o) for o in outputs if o not in names)
    return session(model, threads=os.cpu_count())


def logits(path, batch):
    """Scores before a final softmax (or the output), for every image."""
    graph = onnx.load(str(path)).graph
    output = graph.output[0].name
    last = next(n for n in graph.node if output in n.output)
    while last.op_type in ("DequantizeLinear", "QuantizeLinear", "Softmax"):
        output = last.input[0]
        last = next(n for n in graph.node if output in n.output)
    # The value may be fused away: dequantized outputs keep their place behind the quantizer.
    run = open_session(path, [output])
    name = run.get_inputs()[0].name
    return np.concatenate([run.run([output], {name: x[np.newaxis]})[0].reshape(1, -1) for x in batch])


def centred(scores):
    return scores - scores.mean(axis=1, keepdims=True)


def latency(path, x, runs=20):
    run = open_session(path)
    name = run.get_inputs()[0].name
    for _ in range(3):
        run.run(None, {name: x})
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run.run(None, {name: x})
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def plain_inference(path, batch):
    """Seconds for all samples at batch 1, session creation not counted."""
    run = open_session(path)
    name = run.get_inputs()[0].name
    run.run(None, {name: batch[0][np.newaxis]})
    start = time.perf_counter()
    for x in batch:
        run.run(None, {name: x[np.newaxis]})
    return time.perf_counter() - start


def images_of(network, work):
    if network.name == "resnet8":
        calibration, test = networks.cifar_images(work)
        return [p for p, _ in calibration], test
    pairs = networks.imagenet_images()
    return [p for p, _ in pairs[:CALIBRATION]], pairs[CALIBRATION:]


def report(network, runs, work):
    calibration, test = images_of(network, work)
    folder = work / f"{network.name}_calibration"
    folder.mkdir()
    for path in calibration:
        (folder / path.name).symlink_to(path)
    ours, theirs = work / f"{network.name}", work / f"{network.name}_ort.onnx"
    amct = [AMCT, "quantize", network.path, "--data", folder, "--preprocess", network.preprocess, "--out", ours, "--json",
            "--quiet"]
    other = [sys.executable, ROOT / "bench/ort_quantize.py", network.name, theirs, *calibration]
    samples = [network.pixels(p) for p in calibration]
    held_back = [network.pixels(p) for p, _ in test]
    labels = np.array([label for _, label in test])

    np.save(work / "samples.npy", np.stack(samples))
    decoded = [*amct]
    decoded[decoded.index("--preprocess"):decoded.index("--preprocess") + 2] = []
    decoded[decoded.index(folder)] = work / "samples.npy"
    a, b, plain, inner = [], [], [], []
    for _ in range(runs):
        a.append(measured(*amct))
        inner.append(json.loads(measured(*decoded)["output"])["seconds"]["calibrate"])
        b.append(measured(*other))
        plain.append(plain_inference(network.path, samples))
    median = statistics.median
    reference = logits(network.path, held_back)
    qdq, fake = f"{ours}_qdq.onnx", f"{ours}_fake_quant_model.onnx"

    print(f"\n### {network.name}\n")
    print(f"{CALIBRATION} calibration images; accuracy on {len(test)} others; medians of {runs} runs. ONNX Runtime's plain "
          f"inference over the calibration images: {median(plain):.3f} s.\n")
    print("| | whole command s | / plain inference | / ONNX Runtime's quantizer | calibration s, images decoded before (/ plain) | peak MB | "
          "file MB |\n|---|---|---|---|---|---|---|")
    ta, tb = median(x["seconds"] for x in a), median(x["seconds"] for x in b)
    row("amct quantize", *[f"{ta:.2f}", f"{ta / median(plain):.1f}", f"{ta / tb:.2f}",
                          f"{median(inner):.3f} ({median(inner) / median(plain):.2f})", f"{median(x['peak_mb'] for x in a):.0f}",
                          f"{os.path.getsize(qdq) / 1e6:.2f}"])
    row("ONNX Runtime's quantizer", *[f"{tb:.2f}", f"{tb / median(plain):.1f}", "1", "", f"{median(x['peak_mb'] for x in b):.0f}",
                                     f"{os.path.getsize(theirs) / 1e6:.2f}"])
    print("\n| file, in ONNX Runtime | SQNR dB | same class % | top-1 % |\n|---|---|---|---|")
    for label, path in (("float", network.path), ("amct fake-quant", fake), ("amct QDQ", qdq), ("ONNX Runtime QDQ", theirs)):
        scores = logits(path, held_back)
        top = scores.argmax(axis=1)
        row(label, *["" if label == "float" else f"{sqnr(centred(reference), centred(scores)):.2f}",
                    f"{100 * (top == reference.argmax(axis=1)).mean():.1f}", f"{100 * (top == labels).mean():.1f}"])
    speed(network, qdq, theirs, held_back, work)


def speed(network, qdq, theirs, batch, work):
    print("\n| ms in ONNX Runtime | float | amct QDQ | ONNX Runtime QDQ |\n|---|---|---|---|")
    paths = [network.path, qdq, theirs]
    one = batch[0][np.newaxis]
    row("batch 1", *[f"{1000 * latency(p, one):.2f}" for p in paths])
    eight = np.stack(batch[:8])
    try:
        opened = [networks.open_batch(p, work / f"open{i}.onnx") for i, p in enumerate(paths)]
        row("batch 8", *[f"{1000 * latency(p, eight):.2f}" for p in opened])
    except Exception as error:  # the network's own shapes fix the batch
        print(f"\nbatch 8: not possible ({str(error).splitlines()[0][:80]})")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
               platform.processor())
    print(f"CPU: {cpu}, {os.cpu_count()} cores. ONNX Runtime {onnxruntime.__version__}. Command: `bench/run`.")
    work = networks.work_folder()
    for network in networks.NETWORKS:
        report(network, runs, work)


main()

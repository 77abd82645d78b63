"""Detectors before and after quantization: do the boxes match? Prints Markdown.

UltraFace and NanoDet on the photographs of the assets: amct quantizes with its defaults on those pictures, ONNX Runtime runs the
float network, the fake-quant and the QDQ model, and amct the deploy model in integers. Boxes are decoded as the networks' own
projects do (score threshold, then non-maximum suppression) and each float box is paired with the box of the same class that
overlaps it most. IoU: intersection over union.

usage: detections.py [NETWORK…]
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np

import pictures
from support import model_data
from support.assets import ROOT
from support.onnx_runtime import session
from support.program import run_model

AMCT = ROOT / "build/bin/amct"
NETWORKS = ["ultraface_rfb320_simplified", "ultraface_rfb640", "nanodet_m"]
MATCH = 0.5  # a box without a partner of this overlap is lost


def overlap(box, others):
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return shared / np.maximum(union, 1e-12)


def suppress(boxes, scores, classes, limit):
    """Indices of the boxes that no better one of their class covers."""
    kept = []
    for index in np.argsort(-scores):
        same = [k for k in kept if classes[k] == classes[index]]
        if not same or overlap(boxes[index], boxes[same]).max() <= limit:
            kept.append(index)
    return kept


def priors(size):
    """Centres and extents of UltraFace's anchors for a picture of (width, height), as parts of it."""
    rows = []
    for stride, sides in ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256))):
        for y in range(-(-size[1] // stride)):
            for x in range(-(-size[0] // stride)):
                centre = ((x + 0.5) * stride / size[0], (y + 0.5) * stride / size[1])
                rows += [(*centre, side / size[0], side / size[1]) for side in sides]
    return np.clip(np.array(rows), 0, 1)


def decode_faces(outputs, size=(320, 240)):
    """The network for 640 columns gives boxes, the other one offsets from the anchors."""
    scores, boxes = sorted((np.asarray(v)[0] for v in outputs), key=lambda v: v.shape[1])
    scores = scores[:, 1]
    anchors = priors(size)
    if len(boxes) == len(anchors):
        centre, half = boxes[:, :2] * 0.1 * anchors[:, 2:] + anchors[:, :2], np.exp(boxes[:, 2:] * 0.2) * anchors[:, 2:] / 2
        boxes = np.concatenate([centre - half, centre + half], 1)
    sure = scores > 0.7
    return boxes[sure], scores[sure], np.zeros(sure.sum(), int), 0.3


def decode_objects(outputs, size=416):
    """Distances to the four sides as distributions over 0 to 7 steps of the stride."""
    parts = {}
    for value in (np.asarray(v)[0] for v in outputs):
        parts.setdefault(value.shape[0], {})[value.shape[1]] = value
    boxes, scores = [], []
    for count, values in sorted(parts.items(), reverse=True):
        side = int(round(count**0.5))
        stride = size / side
        logits = values[32].reshape(count, 4, 8)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        distances = (weights / weights.sum(-1, keepdims=True)) @ np.arange(8) * stride
        centre = np.stack([v.ravel() for v in np.meshgrid(*[(np.arange(side) + 0.5) * stride] * 2)], 1)
        boxes.append(np.concatenate([centre - distances[:, :2], centre + distances[:, 2:]], 1))
        scores.append(values[80])
    boxes, scores = np.concatenate(boxes), np.concatenate(scores)
    best = scores.max(1)
    sure = best > 0.35
    return boxes[sure], best[sure], scores[sure].argmax(1), 0.6


def detections(item, outputs):
    boxes, scores, classes, limit = (decode_objects if item.data == "objects" else decode_faces)(outputs)
    kept = suppress(boxes, scores, classes, limit)
    return boxes[kept], scores[kept], classes[kept]


class Deploy:
    """The deploy model in amct's integers."""

    def __init__(self, path, input_name):
        self.path, self.input = path, input_name

    def run(self, x):
        return list(run_model(self.path, {self.input: x}).values())


class OnnxRuntime:
    def __init__(self, path):
        self.session = session(path)

    def run(self, x):
        return self.session.run(None, {self.session.get_inputs()[0].name: x})


def compare(item, reference, other):
    """(float boxes, boxes, partners' overlaps, largest difference of scores)."""
    boxes, scores, classes = reference
    overlaps, difference = [], 0.0
    for box, score, kind in zip(boxes, scores, classes):
        same = other[2] == kind
        shared = overlap(box, other[0][same]) if same.any() else np.zeros(1)
        overlaps.append(shared.max())
        if shared.max() > 0:
            difference = max(difference, abs(score - other[1][same][shared.argmax()]))
    return len(boxes), len(other[0]), overlaps, difference


def rows(name, work):
    item = model_data.model(name)
    subprocess.run([AMCT, "quantize", item.path, *model_data.data_for(item, work), "--out", work / "q"], check=True,
                   stdout=subprocess.DEVNULL)
    engines = {"float": OnnxRuntime(item.path), "fake-quant": OnnxRuntime(work / "q_fake_quant_model.onnx"),
               "QDQ": OnnxRuntime(work / "q_qdq.onnx")}
    engines["deploy"] = Deploy(work / "q_deploy_model.onnx", engines["float"].session.get_inputs()[0].name)
    for path in pictures.detector_files(item):
        x = pictures.detector_input(item, path)
        found = {label: detections(item, engine.run(x)) for label, engine in engines.items()}
        for label in ("fake-quant", "QDQ", "deploy"):
            yield name, path.name, label, *compare(item, found["float"], found[label])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    arguments = parser.parse_args()
    print("\n## Detectors before and after quantization\n\nBoxes of the float network and of the quantized one, float boxes with a "
          f"partner of the same class (IoU above {MATCH}), their IoU, and the largest difference of the scores. Command: "
          "`scripts/python bench/detections.py`.\n")
    print("| network | picture | model | float boxes | boxes | with partner | least IoU | mean IoU | scores differ by |\n"
          "|---|---|---|---|---|---|---|---|---|")
    for network in arguments.networks:
        with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
            for name, picture, label, before, after, overlaps, difference in rows(network, pathlib.Path(folder)):
                partners = [value for value in overlaps if value > MATCH]
                cells = [name, picture, label, before, after, len(partners),
                         f"{min(partners):.3f}" if partners else "", f"{np.mean(partners):.3f}" if partners else "",
                         f"{difference:.3f}"]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()

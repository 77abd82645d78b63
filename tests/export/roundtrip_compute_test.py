"""Weights of ConvTranspose come back bit for bit under their own names, and old spellings are read and written back.

usage: roundtrip_compute_test.py ONNX_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper

from support.model_data import random_feeds
from support.models import constants_of, model_of
from support.onnx_runtime import session

RNG = np.random.default_rng(5)


def model(nodes, weights, x, opset):
    return model_of(nodes, [("x", x)], [("y", None)], weights, opset=opset)


def weight(*dims):
    return RNG.standard_normal(dims).astype(np.float32)


def cases():
    shared = [helper.make_node("ConvTranspose", ["x", "w"], ["a"], "up", strides=[2, 2], group=2),
              helper.make_node("ConvTranspose", ["x", "w"], ["b"], "up2", strides=[2, 2], group=2),
              helper.make_node("Add", ["a", "b"], ["y"], "add")]
    yield "shared", model(shared, {"w": weight(6, 5, 3, 2)}, [1, 6, 4, 5], 13), False
    one = [helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], "up", strides=[2, 3], group=3)]
    yield "grouped", model(one, {"w": weight(6, 5, 3, 2), "b": weight(15)}, [2, 6, 4, 5], 11), True
    computed = [helper.make_node("Neg", ["w"], ["v"], "neg"), helper.make_node("ConvTranspose", ["x", "v"], ["y"], "up")]
    yield "computed", model(computed, {"w": weight(3, 5, 3, 2)}, [1, 3, 4, 5], 11), True
    bn = {name: np.abs(weight(3)) for name in ("s", "b", "m", "v")}
    yield "bn7", model([helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], "bn", momentum=0.5)], bn,
                       [2, 3, 4, 5], 8), True
    yield "gemm7", model([helper.make_node("Gemm", ["x", "w", "b"], ["y"], "fc", transB=1)],
                         {"w": weight(7, 5), "b": weight(7)}, [2, 5], 8), True


def run(path):
    runner = session(path)
    return runner.run(None, random_feeds(runner, np.random.default_rng(3)))[0]


def check(tool, folder, name, source, same_names):
    before, after = folder / f"{name}.onnx", folder / f"{name}.out.onnx"
    onnx.save(source, before)
    done = subprocess.run([tool, "roundtrip", before, after], capture_output=True, text=True)
    if done.returncode != 0 or "opaque 0" not in done.stdout:
        return done.stdout + done.stderr
    if not np.array_equal(run(before), run(after)):
        return "computes something else"
    weights = [{name: array.tobytes() for name, array in constants_of(p).items()} for p in (before, after)]
    if same_names and weights[0] != weights[1]:
        return f"weights {sorted(weights[0])} became {sorted(weights[1])}, or other bytes"
    return None


def main():
    with tempfile.TemporaryDirectory() as temporary:
        faults = {}
        for name, source, same_names in cases():
            fault = check(sys.argv[1], pathlib.Path(temporary), name, source, same_names)
            if fault:
                faults[name] = fault
    print(faults or "all cases come back")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

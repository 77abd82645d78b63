"""AMCT's own deploy models from the command line: `amct run` gives their recorded outputs and what ONNX Runtime computes for
AMCT's fake-quant models, `amct compare` finds no difference between the two files, `amct evaluate` the recorded classes.
"""

import pathlib
import sys
import tempfile

import numpy as np

from support.assets import assets_or_exit
from support.onnx_runtime import run_plainly
from support.program import amct_json, run_model

# The recorded outputs are float sums, exact below 2^24: 16-bit activations go beyond.
TOLERANCES = {"default": 0, "sym_hfmg": 0, "fp16deq": 0, "int16all": 1e-5, "w6": 0, "w4all": 0, "dmq": 0}
RUNTIME_TOLERANCE = 1e-6


def check(golden, name, folder):
    deploy, fake = golden / f"tiny7_{name}_deploy.onnx", golden / f"tiny7_{name}_fake_quant.onnx"
    io = np.load(golden / f"tiny7_{name}_io.npz")
    faults = []
    for i in range(2):
        x, expected = io[f"x{i}"], io[f"fake_quant{i}"]
        data, labels = folder / "x.npy", folder / "labels.npy"
        np.save(data, x)
        np.save(labels, expected.argmax(1))
        ours = run_model(deploy, {"input": x})["output"]
        if ours.shape != expected.shape:
            faults.append(f"outputs of shape {ours.shape}")
            continue
        recorded = np.abs(ours - expected).max()
        runtime = np.abs(ours - run_plainly(fake, {"input": x})[0]).max()
        comparison = amct_json("compare", fake, deploy, "--data", data)
        files = comparison["outputs"][0]["largest_difference"]
        top1 = amct_json("evaluate", deploy, "--data", data, "--labels", labels)["top1"]
        print(f"{name} {i}: off the record by {recorded:.2e}, ONNX Runtime {runtime:.2e}, compare {files:.2e}, top-1 {top1}")
        good = (recorded <= TOLERANCES[name] and runtime <= RUNTIME_TOLERANCE + TOLERANCES[name]
                and files <= RUNTIME_TOLERANCE + TOLERANCES[name] and top1 == 100)
        if not good:
            faults.append(f"inputs {i} differ")
    return faults


def main():
    golden = assets_or_exit() / "golden/models"
    settings = sorted(path.name[len("tiny7_"):-len("_deploy.onnx")] for path in golden.glob("tiny7_*_deploy.onnx"))
    assert settings == sorted(TOLERANCES), f"{golden} has the settings {settings}"
    faults = []
    for name in settings:
        with tempfile.TemporaryDirectory() as folder:
            faults += [f"{name}: {fault}" for fault in check(golden, name, pathlib.Path(folder))]
    for fault in faults:
        print("FAULT", fault)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

"""Real models run by `amct run` against ONNX Runtime on random input: 1e-4 of the output's range.

usage: assets_in_onnx_runtime.py AMCT
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort

from support.assets import assets_or_exit

SEED = 20240921
TOLERANCE = 1e-4
OPEN_EXTENTS = {"sequence": 512}  # what extents that a model leaves open become; 3 if not named here
# Inputs that random numbers do not suit: each value is a run of its own.
FIXED = {"sr": [np.array(16000), np.array(8000)]}


def random_inputs(session, rng, run):
    """One array for every input: integers 0 to 255 for the one network that takes raw pixels, else normal numbers."""
    inputs = {}
    for item in session.get_inputs():
        dims = [extent if isinstance(extent, int) else OPEN_EXTENTS.get(extent, 3) for extent in item.shape]
        if item.name in FIXED:
            inputs[item.name] = FIXED[item.name][run]
        elif item.name == "Input3":
            inputs[item.name] = rng.integers(0, 256, dims).astype(np.float32)
        else:
            inputs[item.name] = rng.normal(0, 1, dims).astype(np.float32 if "float" in item.type else np.int64)
    return inputs


def run_program(program, model, inputs, folder):
    command = [program, "run", str(model), "--out", str(folder / "out")]
    for index, (name, array) in enumerate(inputs.items()):
        np.save(folder / f"{index}.npy", array)
        command += ["--input", f"{name}={folder / f'{index}.npy'}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def runs_of(session):
    return max([len(FIXED[item.name]) for item in session.get_inputs() if item.name in FIXED], default=1)


def range_of(expected):
    """The range of one element is its size."""
    return np.ptp(expected) or np.abs(expected).max()


def check(program, model, rng):
    """Fault of one model as text, or None."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for run in range(runs_of(session)):
        inputs = random_inputs(session, rng, run)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            result = run_program(program, model, inputs, folder)
            if result.returncode != 0:
                return f"exit {result.returncode}: {result.stderr.strip()}"
            for item, expected in zip(session.get_outputs(), session.run(None, inputs)):
                ours = np.load(folder / "out" / (item.name.replace("/", "_") + ".npy"))
                if ours.shape != expected.shape or ours.dtype != expected.dtype:
                    return f"{item.name}: {ours.dtype} {ours.shape} instead of {expected.dtype} {expected.shape}"
                worst = max(worst, np.abs(ours - expected).max() / range_of(expected))
    print(f"{model.stem}: {worst:.1e} of the range")
    return None if worst <= TOLERANCE else f"{worst:.1e} of the output's range"


def main():
    program = sys.argv[1]
    folder = assets_or_exit()
    rng = np.random.default_rng(SEED)
    models = sorted((folder / "onnx").glob("*.onnx"))
    faults = {model.stem: check(program, model, rng) for model in models}
    for model, fault in faults.items():
        if fault:
            print(f"{model}: {fault}")
    sys.exit(1 if not models or any(faults.values()) else 0)


main()

"""The program as a user runs it: what AMCT_PROGRAM names, else the one that scripts/build leaves."""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import onnx

from support.assets import ROOT

AMCT = str(pathlib.Path(os.environ.get("AMCT_PROGRAM", ROOT / "build/bin/amct")).resolve())


def amct(*arguments, timeout=600):
    """What it prints; a RuntimeError with what it says where it fails."""
    command = [AMCT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"amct {' '.join(command[1:3])}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def amct_json(*arguments, timeout=600):
    return json.loads(amct(*arguments, "--json", "--quiet", timeout=timeout))


def run_model(model, feeds, *options):
    """Outputs of `amct run` by name; `options` like --exact or --isa."""
    outputs = [value.name for value in onnx.load(str(model), load_external_data=False).graph.output]
    with tempfile.TemporaryDirectory() as folder:
        work, inputs = pathlib.Path(folder), []
        for index, (name, array) in enumerate(feeds.items()):
            np.save(work / f"{index}.npy", array)
            inputs += ["--input", f"{name}={work / f'{index}.npy'}"]
        amct("run", model, *inputs, "--out", work / "out", *options)
        return {name: np.load(work / "out" / (name.replace("/", "_") + ".npy")) for name in outputs}

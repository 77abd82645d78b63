"""Every real model, read and written back, computes the same bits in ONNX Runtime and passes the full checker.

usage: roundtrip_assets_test.py ONNX_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx

from support.assets import assets_or_exit
from support.model_data import random_feeds
from support.onnx_runtime import session

SEED = 1729


def run(path, feeds):
    runner = session(path)
    feeds = feeds or random_feeds(runner, np.random.default_rng(SEED))
    names = [o.name for o in runner.get_outputs()]
    return feeds, names, runner.run(names, feeds)


def check(tool, source, target):
    done = subprocess.run([tool, "roundtrip", source, target], capture_output=True, text=True)
    if done.returncode != 0:
        return f"not read: {done.stderr.strip()}"
    onnx.checker.check_model(str(target), full_check=True)
    feeds, names, before = run(source, None)
    _, names_after, after = run(target, feeds)
    if names != names_after:
        return f"outputs {names} became {names_after}"
    for name, a, b in zip(names, before, after):
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            return f"output {name} differs by {np.max(np.abs(a.astype(float) - b.astype(float))) if a.shape == b.shape else 'shape'}"
    print(f"{source.name}: {done.stdout.strip()}")
    return None


def main():
    tool, assets = sys.argv[1], assets_or_exit()
    models = sorted((assets / "onnx").glob("*.onnx")) + sorted((assets / "llm").glob("*.onnx"))
    models += sorted((assets / "golden" / "models").glob("*float.onnx"))
    models += sorted((assets / "golden" / "models").glob("*fake_quant*.onnx"))
    assert models, f"no models below {assets}"
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            try:
                fault = check(tool, model, pathlib.Path(folder) / model.name)
            except Exception as error:  # the checker and the runtime have many kinds
                fault = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            if fault:
                failures += 1
                print(f"FAILED {model.name}: {fault}")
    print(f"{len(models) - failures} of {len(models)} models")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

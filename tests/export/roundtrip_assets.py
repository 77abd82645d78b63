"""Every real model, read and written back, computes the same bits in ONNX Runtime and passes the full checker.

usage: roundtrip_assets.py ONNX_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from support.assets import assets_or_exit

SEED = 1729
NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
# Inputs that random numbers do not suit.
FIXED = {"sr": np.array(16000, dtype=np.int64)}


def random_inputs(session, rng):
    feeds = {}
    for value in session.get_inputs():
        if value.name in FIXED:
            feeds[value.name] = FIXED[value.name]
            continue
        sizes = {"batch": 1, "sequence": 512, None: 1}
        dims = [d if isinstance(d, int) else sizes.get(d, 2) for d in value.shape]
        if value.name == "input" and len(dims) == 2 and not isinstance(value.shape[1], int):
            dims[1] = 512
        dtype = NUMPY_TYPES[value.type]
        if dtype is np.float32:
            feeds[value.name] = rng.standard_normal(dims).astype(dtype)
        else:
            feeds[value.name] = rng.integers(0, 100, dims).astype(dtype)
    return feeds


def run(path, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = feeds or random_inputs(session, np.random.default_rng(SEED))
    names = [o.name for o in session.get_outputs()]
    return feeds, names, session.run(names, feeds)


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

"""The plain kernels of the operator rows agree with ONNX Runtime on every sample, through our own exporter.

usage: samples_in_onnx_runtime.py SAMPLE_TOOL [row…]
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

TOLERANCE = 1e-5  # of 1 + |expected|, for float32
COARSE = {np.dtype(np.float16): 2e-3}
# Where ONNX Runtime does not do what the standard says.
LEFT_OUT = {
    "reduce_log_sum.nothing": "ONNX Runtime returns the input when no axis is reduced; the standard takes the logarithm",
    "reduce_sum_square.nothing": "ONNX Runtime returns the input when no axis is reduced; the standard takes the square",
}


def run(folder):
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    feeds = {v.name: np.load(folder / f"input_{i}.npy") for i, v in enumerate(session.get_inputs())}
    return session.run(None, feeds)


def difference(ours, theirs):
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"{ours.dtype}{ours.shape} instead of {theirs.dtype}{theirs.shape}"
    if not np.issubdtype(ours.dtype, np.floating):
        return None if np.array_equal(ours, theirs) else "integers differ"
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        worst = np.max(np.where(same, 0, np.abs(a - b) / (1 + np.abs(b))), initial=0)
    return None if worst <= COARSE.get(ours.dtype, TOLERANCE) else f"differs by {worst:.2e}"


def check(folder):
    try:
        expected = run(folder)
    except Exception as error:  # noqa: BLE001: whatever ONNX Runtime raises is the finding
        return str(error).splitlines()[0]
    for i, theirs in enumerate(expected):
        fault = difference(np.load(folder / f"output_{i}.npy"), np.asarray(theirs))
        if fault:
            return f"output {i} {fault}"
    return None


def main():
    with tempfile.TemporaryDirectory() as temporary:
        lines = subprocess.run([sys.argv[1], temporary, *sys.argv[2:]], check=True, capture_output=True, text=True).stdout
        faults, passed = [], 0
        for line in lines.splitlines():
            name, verdict, *reason = line.split(" ", 2)
            if name in LEFT_OUT:
                verdict, reason = "skip", [LEFT_OUT[name]]
            if verdict == "skip":
                print(f"left out: {name}: {reason[0] if reason else 'no reason given'}")
                continue
            fault = check(pathlib.Path(temporary) / name) if verdict == "ok" else " ".join(reason)
            if fault and "NOT_IMPLEMENTED" in fault and name.endswith(".float64"):
                print(f"left out: {name}: ONNX Runtime has no kernel of this type")
            elif fault:
                faults.append(f"{name}: {fault}")
            else:
                passed += 1
    print(f"{passed} samples agree")
    print("\n".join(faults))
    sys.exit(1 if faults or passed == 0 else 0)


if __name__ == "__main__":
    main()

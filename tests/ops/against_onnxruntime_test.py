"""Every sample of every row computes what ONNX Runtime computes, in the plain kernel and in the compiled program.

usage: against_onnxruntime_test.py ONNX_TOOL
Where ONNX Runtime has no kernel (most double-precision ones), ONNX's reference implementation takes its place. Cases
that neither can run at any opset fail the test unless the sample says so (skip_onnx_runtime).
"""

import collections
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore", category=DeprecationWarning)  # of decoding 8- and 4-bit floats without ml_dtypes

# Relative to the value, and to the largest value: sums of compiled steps are taken in another order.
RTOL, ATOL = {"plain": 1e-5, "compiled": 1e-4}, 1e-5
NO_KERNEL = (ort.capi.onnxruntime_pybind11_state.NotImplemented, ort.capi.onnxruntime_pybind11_state.InvalidGraph)
NO_MEASURE = ("has unsupported type", "No registered implementation", "from domain 'com.microsoft' is unknown")
# Samples, or samples at one opset, in which ONNX Runtime is not a measure, with the reason.
EXCEPTIONS = {
    "reduce_log_sum_exp/int32": "ONNX Runtime rounds every exponential to an integer",
    "dropout/mask/11": "before opset 12 ONNX Runtime's mask of nothing dropped is all false, from 12 on all true",
}
# Cases that the checker's own shape inference gets wrong.
UNCHECKED = {
    f"average_pool__ceil__{opset}": "it counts windows that lie in the padding alone, which ONNX Runtime does not"
    for opset in (21, 13, 11)
} | {
    f"einsum__letters_broadcast__{opset}": "it knows no broadcasting of one to many, which NumPy and ONNX Runtime do"
    for opset in (23, 21, 13)
}


DECODE = {
    TensorProto.FLOAT8E4M3FN: numpy_helper.float8e4m3_to_float32,
    TensorProto.FLOAT8E4M3FNUZ: lambda codes: numpy_helper.float8e4m3_to_float32(codes, uz=True),
    TensorProto.FLOAT8E5M2: numpy_helper.float8e5m2_to_float32,
    TensorProto.FLOAT8E5M2FNUZ: lambda codes: numpy_helper.float8e5m2_to_float32(codes, fn=True, uz=True),
    TensorProto.FLOAT4E2M1: numpy_helper.unpacked_float4e2m1_to_float32,
}


# Operators that ONNX Runtime keeps in the standard domain at opsets that do not have them.
RUNTIME_OWN = ("LayerNormalization", "SimplifiedLayerNormalization")


def check(folder):
    try:
        onnx.checker.check_model(str(folder / "model.onnx"), full_check=folder.name not in UNCHECKED)
    except onnx.checker.ValidationError as error:
        if not any(f"No Op registered for {name} " in str(error) for name in RUNTIME_OWN):
            raise


def to_array(tensor):
    """NumPy has no bfloat16 and no smaller floats: such elements become the float32 numbers that they are."""
    if tensor.data_type in DECODE:
        codes = numpy_helper.to_array(tensor).astype(np.uint8)
        return np.asarray(DECODE[tensor.data_type](codes), np.float32).reshape(codes.shape)
    if tensor.data_type != TensorProto.BFLOAT16:
        return numpy_helper.to_array(tensor)
    bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
    return bits.view(np.float32).reshape(tensor.dims)


def load(folder, stem):
    found = {}
    for path in folder.glob(f"{stem}_*.pb"):
        tensor = onnx.TensorProto()
        tensor.ParseFromString(path.read_bytes())
        found[int(path.stem.rsplit("_", 1)[1])] = to_array(tensor)
    return found


# Types that NumPy lacks; 8- and 4-bit floats are decoded on reading.
FOREIGN = {
    getattr(TensorProto, name)
    for name in "BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT4E2M1".split()
}


def between_float32(model):
    """The model with float32 in place of inputs and outputs that NumPy lacks, cast inside; the casts lose nothing."""
    nodes = {"input": [], "output": []}
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            foreign = value.type.tensor_type.elem_type
            if foreign not in FOREIGN:
                continue
            inner, outer = value.name, f"{value.name}_as_float32"
            value.name, value.type.tensor_type.elem_type = outer, TensorProto.FLOAT
            ends = ([outer], [inner], foreign) if kind == "input" else ([inner], [outer], TensorProto.FLOAT)
            nodes[kind].append(helper.make_node("Cast", ends[0], ends[1], to=ends[2]))
    if not nodes["input"] and not nodes["output"]:
        return model
    inside = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes["input"] + inside + nodes["output"])
    return model


def difference(ours, theirs, form):
    """Why the arrays differ, or None."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return f"{ours.dtype}{list(ours.shape)} where ONNX Runtime has {theirs.dtype}{list(theirs.shape)}"
    if ours.dtype.kind != "f":
        return None if np.array_equal(ours, theirs) else f"{np.sum(ours != theirs)} of {ours.size} integers differ"
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.abs(b[np.isfinite(b)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    rtol, atol = (1e-2, 1e-3) if ours.dtype.itemsize == 2 else (RTOL[form], ATOL)
    if np.allclose(a, b, rtol=rtol, atol=atol * scale, equal_nan=True):
        return None
    with np.errstate(invalid="ignore"):
        return f"differs by up to {np.nanmax(np.abs(a - b)):.3g} (values up to {scale:.3g})"


def results(folder, inputs, done):
    """Outputs of ONNX Runtime, else of the reference implementation."""
    model = between_float32(onnx.load(str(folder / "model.onnx"))).SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {value.name: inputs[i] for i, value in enumerate(session.get_inputs())}
        outputs = session.run(None, feeds)
        done["ONNX Runtime"] += 1
        return outputs
    except (*NO_KERNEL, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error, NO_KERNEL) and "Numpy type" not in str(error):
            raise
    evaluator = ReferenceEvaluator(onnx.load_from_string(model))
    with np.errstate(all="ignore"):
        outputs = evaluator.run(None, {name: inputs[i] for i, name in enumerate(evaluator.input_names)})
    done["the reference implementation"] += 1
    return outputs


def run(folder, done):
    """None, or what is wrong."""
    theirs = results(folder, load(folder, "input"), done)
    for form in ("plain", "compiled"):
        for i, array in load(folder, form).items():
            fault = difference(array, np.asarray(theirs[i]), form)
            if fault:
                return f"{form} output {i}: {fault}"
    return None


def main():
    failures = collections.defaultdict(list)
    illegal = {}
    samples, done = set(), collections.Counter()
    with tempfile.TemporaryDirectory() as root:
        dump = subprocess.run([sys.argv[1], "samples", root], capture_output=True, text=True)
        print(dump.stdout, end="")
        if dump.returncode != 0:
            sys.exit(f"onnx_tool ended with {dump.returncode}: {dump.stderr}")
        errors = [line for line in dump.stdout.splitlines() if line.startswith("error")]
        for folder in sorted(pathlib.Path(root).iterdir()):
            row, sample, opset = folder.name.rsplit("__", 2)
            case = f"{row}/{sample}"
            if case in EXCEPTIONS or f"{case}/{opset}" in EXCEPTIONS:
                continue
            try:
                check(folder)
                fault = run(folder, done)
            except Exception as error:  # the checker and the runtimes have many kinds
                fault = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                # The element type came with a later opset, or neither runtime has this operator, or not of this type.
                if any(text in fault for text in NO_MEASURE):
                    illegal[case] = fault
                    continue
            samples.add(case)
            if fault:
                failures[case].append(f"opset {opset}: {fault}")
    for case, reason in illegal.items():
        if case not in samples:
            failures[case].append(reason)
    for case, reason in EXCEPTIONS.items():
        print(f"exception {case}: {reason}")
    for case, faults in sorted(failures.items()):
        for fault in faults:
            print(f"FAILED {case} {fault}")
    print(f"{len(samples)} samples compared: {dict(done)}; {len(failures)} fail, {len(errors)} errors")
    assert samples, "no samples were run"
    sys.exit(1 if failures or errors else 0)


if __name__ == "__main__":
    main()

"""Every element type that ONNX allows an operator is computed with, or refused by one clear line.

usage: element_types_test.py ONNX_TOOL [--update]
The samples of all rows are rewritten, type variable by type variable of ONNX's own schema, to every numeric type that
the newest version of the operator allows, and run. What is taken must agree with ONNX Runtime or, where that has no
kernel, with ONNX's reference implementation; what is refused is listed in docs/element_types.md, which --update writes.
Types that an older version allowed beyond the newest are run as well.
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
from onnx import TensorProto, defs, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

warnings.filterwarnings("ignore")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "element_types.md"
OPSET = 23
SAMPLES = 2  # of every operator
NUMPY = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip
NAMES = {getattr(TensorProto, name.upper()): name for name in NUMPY}
CODES = {name: code for code, name in NAMES.items()}
BFLOAT16 = "bfloat16"
CODES[BFLOAT16] = TensorProto.BFLOAT16
NAMES[TensorProto.BFLOAT16] = BFLOAT16
TOLERANCE = {"bfloat16": 2e-2, "float16": 5e-3, "double": 1e-5, "float": 1e-4}


# Where neither ONNX Runtime (no kernel of this type, or another rounding) nor the reference implementation is a measure.
INTEGERS = [name for name in NUMPY if "int" in name]
EXCEPTIONS = {
    "Attention": (["double", "float16"], "the reference adds masks of truth values"),
    "GlobalMaxPool": (["double"], "the reference reduces one axis too many of a 3-axis input"),
    "GridSample": (INTEGERS + ["double", "float"], "the reference accumulates integers as integers, coefficients in single precision"),
    "LRN": (["double"], "the reference takes windows of single precision"),
    "OneHot": (list(NUMPY), "the reference wraps indices around that are out of range"),
    "QLinearMatMul": (["int8"], "the reference wraps sums around where the operator saturates"),
    "ReduceLogSumExp": (INTEGERS, "ONNX Runtime rounds every exponential to an integer"),
    "Resize": (["int8", "uint8", "int32"], "ONNX Runtime rounds between the axes of an antialiased image"),
}

# Operators that truncate weighted sums, to the output of the same type as input 0. A sum that falls on an integer may
# come out on either side of it, 2 or 1.9999999: there, and only there, 2 and 1 are both right.
TRUNCATE_SUMS = {"Resize"}
ON_INTEGER = 1e-4


def excepted(op, name):
    return op in EXCEPTIONS and name in EXCEPTIONS[op][0]


def short(types):
    return sorted(t[len("tensor(") : -1] for t in types if t.startswith("tensor("))


def converted(array, name):
    """Values of the sample in another type: floats become small integers from 1 on, so that nothing divides by 0."""
    if name == BFLOAT16:
        bits = np.ascontiguousarray(array.astype(np.float32)).view(np.uint32)
        return (bits >> 16).astype(np.uint16)
    kind = np.dtype(NUMPY[name]).kind
    if array.dtype.kind == "f" and kind in "iu":
        return (1 + np.floor(np.abs(array) * 3)).clip(1, 100).astype(NUMPY[name])
    if kind == "u":
        return np.abs(array.astype(np.int64)).astype(NUMPY[name])
    return array.astype(NUMPY[name])


def to_tensor(array, name, tensor_name):
    if name != BFLOAT16:
        return numpy_helper.from_array(np.ascontiguousarray(array), tensor_name)
    return helper.make_tensor(tensor_name, TensorProto.BFLOAT16, array.shape, array.tobytes(), raw=True)


def parameter(formals, index):
    """The formal parameter of an actual one; the last may be variadic."""
    return formals[min(index, len(formals) - 1)]


class Case:
    """A sample with the type variables `chosen` set to `name`."""

    def __init__(self, folder, model, schema, chosen, name):
        self.model = onnx.ModelProto.FromString(model.SerializeToString())
        self.inputs = {}
        node = self.model.graph.node[-1]
        bound = {node.input[i] for i in range(len(node.input)) if parameter(schema.inputs, i).type_str in chosen}
        bound |= {node.output[i] for i in range(len(node.output)) if parameter(schema.outputs, i).type_str in chosen}
        for i, value in enumerate(self.model.graph.input):
            array = read(folder / f"input_{i}.pb")
            own = NAMES.get(value.type.tensor_type.elem_type)
            if value.name in bound:
                array, own = converted(array, name), name
                value.type.tensor_type.elem_type = CODES[name]
            self.inputs[value.name] = (array, own)
        for tensor in self.model.graph.initializer:
            if tensor.name in bound:
                array = converted(numpy_helper.to_array(tensor), name)
                tensor.CopyFrom(to_tensor(array, name, tensor.name))
        for value in self.model.graph.output:
            if value.name in bound:
                value.type.tensor_type.elem_type = CODES[name]

    def write(self, folder):
        folder.mkdir(parents=True)
        onnx.save(self.model, folder / "model.onnx")
        for i, (name, (array, own)) in enumerate(self.inputs.items()):
            path = folder / f"input_{i}.pb"
            path.write_bytes(to_tensor(array, own, name).SerializeToString())


def read(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor.dims)
    return numpy_helper.to_array(tensor)


def variables(schema):
    """Type variables of the inputs with the numeric types that they may take; none where a body has types of its own."""
    if any(attribute.type == onnx.defs.OpSchema.AttrType.GRAPH for attribute in schema.attributes.values()):
        return {}
    allowed = {c.type_param_str: short(c.allowed_type_strs) for c in schema.type_constraints}
    used = {formal.type_str for formal in schema.inputs} & set(allowed)
    return {variable: [t for t in allowed[variable] if t in CODES] for variable in sorted(used)}


def expected(case):
    """Outputs by somebody else, or None."""
    types = {own for _, own in case.inputs.values()} | {NAMES.get(t.data_type) for t in case.model.graph.initializer}
    if BFLOAT16 in types:  # which NumPy lacks
        return None
    inputs = {name: array for name, (array, _) in case.inputs.items()}
    try:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        return ort.InferenceSession(case.model.SerializeToString(), options).run(None, inputs)
    except Exception:  # no kernel
        pass
    try:
        return ReferenceEvaluator(case.model).run(None, inputs)
    except Exception:
        return None


def sums_before_truncation(case):
    """The output in double precision, by the reference."""
    model = onnx.ModelProto.FromString(case.model.SerializeToString())
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    inputs = {name: array for name, (array, _) in case.inputs.items()}
    first = model.graph.input[0].name
    return ReferenceEvaluator(model).run(None, inputs | {first: inputs[first].astype(np.float64)})[0]


def equal_sums(ours, theirs, case):
    """Whether truncated sums are equal but for those that fall on an integer."""
    sums = sums_before_truncation(case)
    nearest = np.round(sums)
    truncated = (ours == nearest) | (ours == nearest - np.sign(nearest))
    either = (np.abs(sums - nearest) < ON_INTEGER) & truncated
    return np.all((ours == theirs) | either)


def choices(schema):
    """(variables, type) to try: each variable alone, then all that may take the type together."""
    allowed = variables(schema)
    for variable, types in allowed.items():
        for name in types:
            yield (variable,), name
    for name in CODES:
        together = tuple(variable for variable, types in allowed.items() if name in types)
        if len(together) > 1:
            yield together, name


def build(samples, root):
    """Writes all cases below `root`: {case name: (operator, variables, type, Case)}."""
    cases = {}
    made = collections.Counter()
    for folder in sorted(samples.glob(f"*__{OPSET}")):
        model = onnx.load(folder / "model.onnx")
        node = model.graph.node[-1]
        if node.domain or len(model.graph.node) != 1:
            continue
        schema = defs.get_schema(node.op_type, OPSET)
        made[node.op_type] += 1
        if made[node.op_type] > SAMPLES:
            continue
        for chosen, name in choices(schema):
            case_name = f"{folder.name}__{'_'.join(chosen)}__{name}"
            try:
                case = Case(folder, model, schema, chosen, name)
            except (KeyError, TypeError, ValueError):  # a sample of strings or of 4-bit integers
                continue
            case.write(root / "types" / case_name)
            cases[case_name] = (node.op_type, chosen, name, case)
    return cases


def close(ours, theirs, op, name, case):
    if ours.shape != np.shape(theirs):
        return False
    if ours.dtype.kind in "iu" and op in TRUNCATE_SUMS:
        return equal_sums(ours, theirs, case)
    if ours.dtype.kind != "f":
        return np.array_equal(ours, theirs)
    tolerance = TOLERANCE.get(name, 1e-4) if ours.dtype != np.float16 else TOLERANCE["float16"]
    a, b = ours.astype(np.float64), np.asarray(theirs).astype(np.float64)
    scale = max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0))
    return np.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def compare(folder, case, op, name):
    """"agrees", "differs" or "alone"."""
    theirs = expected(case)
    if theirs is None:
        return "alone"
    for i, value in enumerate(theirs):
        path = folder / f"compiled_{i}.pb"
        if path.exists() and not close(read(path), np.asarray(value), op, name, case):
            return "differs"
    return "agrees"


def page(refused):
    """The Markdown page: what is not taken, by operator."""
    text = f"""# Element types

Generated by `scripts/python tests/ops/element_types_test.py build/bin/onnx_tool --update`; a test keeps it in step. The samples of every operator run
in every numeric type that ONNX allows it (opset {OPSET}): float, double, float16, bfloat16, bool and the integers of 8 to
64 bits. What is not listed is taken; what is listed is refused by one line that says so.

| operator | type variable | refused |
|---|---|---|
"""
    lines = collections.defaultdict(list)
    for op, variable, name in sorted(refused):
        lines[op, variable].append(name)
    return text + "".join(f"| {op} | {variable} | {', '.join(names)} |\n" for (op, variable), names in lines.items())


def main():
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        subprocess.run([sys.argv[1], "samples", root / "samples"], check=True, stdout=subprocess.DEVNULL)
        cases = build(root / "samples", root)
        done = subprocess.run([sys.argv[1], "run", root / "types"], capture_output=True, text=True, check=True)
        errors = {}
        for line in done.stdout.splitlines():
            name, _, reason = line.removeprefix("error ").partition(": ")
            errors[name] = reason
        taken, refused, faults = set(), {}, []
        counts = collections.Counter()
        for case_name, (op, chosen, name, case) in cases.items():
            keys = [(op, variable, name) for variable in chosen]
            reason = errors.get(case_name, "")
            if not reason:
                taken.update(keys)
                agreement = compare(root / "types" / case_name, case, op, name)
                counts[agreement] += 1
                if agreement == "differs" and not excepted(op, name):
                    faults.append(f"{case_name}: differs")
            elif "type" in reason or any(n in reason for n in NAMES.values()):
                refused.update({key: reason for key in keys})
            else:
                faults.append(f"{case_name}: {reason}")
    refused = {key: reason for key, reason in refused.items() if key not in taken}
    text = page(refused)
    if "--update" in sys.argv:
        PAGE.write_text(text)
        for key, reason in sorted(refused.items()):
            print("refused", *key, reason)
    elif PAGE.read_text() != text:
        faults.append(f"{PAGE.name} is not what the operators do: run {pathlib.Path(__file__).name} ONNX_TOOL --update")
    for fault in faults:
        print("FAILED", fault)
    print(f"{len(cases)} cases, {len(taken)} combinations taken, {len(refused)} refused; results {dict(counts)}")
    assert cases, "no cases were made"
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()

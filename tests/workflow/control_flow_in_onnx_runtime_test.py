"""Control flow and functions of the model file against ONNX Runtime: as the file has them, prepared, and written back.

usage: control_flow_in_onnx_runtime_test.py ONNX_TOOL
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.parser

from support.onnx_runtime import session
from support.program import run_model

TOLERANCE = 1e-5

# Name, opsets, inputs, text. {v} is the opset.
CASES = [
    ("if_by_value", (11, 13, 21), [{"c": np.array(True), "x": (2, 3)}, {"c": np.array(False), "x": (2, 3)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (bool c, float[2,3] x) => (float[N,M] y) {{
        t = Transpose(x)
        y = If(c) <
          then_branch = yes () => (float[2,3] a) {{ a = Relu(x) }},
          else_branch = no () => (float[3,2] b) {{ b = Add(t, t) }}>
     }}"""),
    ("nested_captures", (11, 16, 23), [{"n": np.array(3), "c": np.array(flag), "x": (3,)} for flag in (True, False)],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (int64 n, bool c, float[3] x) => (float[3] y, float[T,3] all) <float[3] w = {{0.5, -1.0, 2.0}}> {{
        two = Add(w, x)
        yes = Constant<value = bool {{1}}>()
        y, all = Loop(n, yes, x) <
          body = turn (int64 i, bool go, float[3] v) => (bool more, float[3] next, float[3] seen) {{
            more = Identity(go)
            next = If(c) <
              then_branch = grow () => (float[3] a) {{ a1 = Mul(v, w)  a = Add(a1, two) }},
              else_branch = cut () => (float[3] b) {{ f = Cast<to = 1>(i)  b0 = Sub(v, f)  b = Add(b0, x) }}>
            seen = Neg(next)
          }}>
     }}"""),
    ("while", (11, 13, 19), [{"x": (4,)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (float[4] x) => (float[4] y, float[T] sums) {{
        yes = Constant<value = bool {{1}}>()
        start = Abs(x)
        y, sums = Loop("", yes, start) <
          body = turn (int64 i, bool go, float[4] v) => (bool more, float[4] next, float sum) {{
            half = Constant<value = float {{0.5}}>()
            next = Mul(v, half)
            sum = ReduceMax<keepdims = 0>(next)
            limit = Constant<value = float {{0.01}}>()
            more = Greater(sum, limit)
          }}>
     }}"""),
    ("no_turn", (13, 21), [{"n": np.array(0), "x": (2, 3)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (int64 n, float[2,3] x) => (float[2,3] y, float[T,2,3] all) {{
        y, all = Loop(n, "", x) <
          body = turn (int64 i, bool go, float[2,3] v) => (bool more, float[2,3] next, float[2,3] seen) {{
            more = Identity(go)  next = Neg(v)  seen = Abs(v)
          }}>
     }}"""),
    ("growing", (13, 21), [{"n": np.array(4), "x": (2, 3)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (int64 n, float[2,3] x) => (float[K,3] y) {{
        y = Loop(n, "", x) <
          body = turn (int64 i, bool go, float[K,3] v) => (bool more, float[L,3] next) {{
            more = Identity(go)  next = Concat<axis = 0>(v, x)
          }}>
     }}"""),
    ("scan", (9, 11, 16, 21), [{"s": (3,), "x": (5, 3), "z": (2, 5)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (float[3] s, float[5,3] x, float[2,5] z) => (float[3] y, float[5,3] all, float[2,5] other) {{
        w = Neg(s)
        y, all, other = Scan<num_scan_inputs = 2, scan_input_axes = [0, 1], scan_input_directions = [0, 1],
                             scan_output_axes = [0, 1], scan_output_directions = [1, 0],
          body = turn (float[3] v, float[3] xi, float[2] zi) => (float[3] next, float[3] seen, float[2] out) {{
            a = Add(v, xi)  next = Mul(a, w)  seen = Identity(a)  out = Relu(zi)
          }}>(s, x, z)
     }}"""),
    ("scan_of_opset_8", (8,), [{"n": np.array([2, 4]), "s": (2, 3), "x": (2, 4, 3)}],
     """<ir_version: 3, opset_import: ["" : {v}]>
     g (int64[2] n, float[2,3] s, float[2,4,3] x) => (float[2,3] y, float[2,4,3] all) {{
        y, all = Scan<num_scan_inputs = 1, directions = [1],
          body = turn (float[3] v, float[3] xi) => (float[3] next, float[3] seen) {{
            next = Add(v, xi)  seen = Mul(next, next)
          }}>(n, s, x)
     }}"""),
    ("convolution_in_a_body", (13, 18), [{"n": np.array(2), "x": (1, 3, 8, 9)}],
     """<ir_version: 8, opset_import: ["" : {v}]>
     g (int64 n, float[1,3,8,9] x) => (float[1,3,8,9] y) {{
        w = RandomWeight()
        y = Loop(n, "", x) <
          body = turn (int64 i, bool go, float[1,3,8,9] v) => (bool more, float[1,3,8,9] next) {{
            more = Identity(go)  c = Conv<pads = [1,1,1,1]>(v, w)  next = Relu(c)
          }}>
     }}"""),
    ("functions", (13, 18), [{"x": (2, 3), "c": np.array(flag)} for flag in (True, False)],
     """<ir_version: 8, opset_import: ["" : {v}, "own" : 1]>
     g (float[2,3] x, bool c) => (float[2,3] y, float[2,3] z) {{
        a = own.outer<slope = 0.3>(x)
        y = own.outer(a)
        z = If(c) <
          then_branch = yes () => (float[2,3] p) {{ p = own.leak<alpha = 0.7>(a) }},
          else_branch = no () => (float[2,3] q) {{ q = own.sums(a) }}>
     }}
     <domain: "own", opset_import: ["" : {v}, "own" : 1]>
     outer<slope: float = 0.1> (x) => (y) {{ a = own.leak<alpha: float = @slope>(x)  b = own.leak<alpha = 0.9>(a)
                                             y = Neg(b) }}
     <domain: "own", opset_import: ["" : {v}]>
     leak<alpha> (x) => (y) {{ a = LeakyRelu<alpha: float = @alpha>(x)  y = Identity(a) }}
     <domain: "own", opset_import: ["" : {v}]>
     sums (x) => (y) {{ a = Constant<value = float[1] {{2.0}}>()  b = Add(x, a)  y = Mul(b, b) }}"""),
]


def model_of(text, opset, rng):
    model = onnx.parser.parse_model(text.format(v=opset))
    for node in list(model.graph.node):
        if node.op_type == "RandomWeight":
            weight = rng.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(weight, node.output[0]))
            model.graph.node.remove(node)
    return model


def fault(ours, theirs):
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return f"{ours.dtype}{ours.shape} where ONNX Runtime has {theirs.dtype}{theirs.shape}"
    if ours.size and np.max(np.abs(ours - theirs)) > TOLERANCE * max(1.0, np.max(np.abs(theirs))):
        return f"differs by {np.max(np.abs(ours - theirs)):.3g}"
    return None


def check(tool, case, opset, folder, rng):
    """Faults of one case, as texts."""
    _, _, runs, text = case
    model = model_of(text, opset, rng)
    path, back = folder / "model.onnx", folder / "back.onnx"
    onnx.save(model, path)
    subprocess.run([tool, "roundtrip", path, back], check=True, capture_output=True)
    onnx.checker.check_model(str(back), full_check=True)
    theirs, written = session(path), session(back)
    for values in runs:
        feeds = {name: value if isinstance(value, np.ndarray) else rng.normal(0, 1, value).astype(np.float32)
                 for name, value in values.items()}
        expected = theirs.run(None, feeds)
        names = [output.name for output in theirs.get_outputs()]
        for how in ([], ["--prepare"]):
            outputs = run_model(path, feeds, *how)
            for name, array in zip(names, expected):
                if found := fault(outputs[name], np.asarray(array)):
                    yield f"{' '.join(how) or 'run'}: output {name} {found}"
        for name, array, same in zip(names, expected, written.run(names, feeds)):
            if found := fault(np.asarray(same), np.asarray(array)):
                yield f"written back: output {name} {found}"


def main():
    tool = sys.argv[1]
    faults = count = 0
    for case in CASES:
        for opset in case[1]:
            count += 1
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = list(check(tool, case, opset, pathlib.Path(folder), np.random.default_rng(count)))
                except subprocess.CalledProcessError as error:
                    found = [error.stderr.decode().strip()]
                except Exception as error:  # the checker and the runtime have many kinds
                    found = [f"{type(error).__name__}: {error}"]
            for text in found:
                print(f"FAILED {case[0]} at opset {opset}: {text}")
            faults += bool(found)
    print(f"{count} models, {faults} with faults")
    sys.exit(1 if faults or count < 20 else 0)


if __name__ == "__main__":
    main()

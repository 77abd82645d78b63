"""Networks of one recurrent layer with its states as inputs, data for them, and the deploy operators in numpy integers."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3}
DEPLOY = {"LSTM": "BasicLSTMInplaceFillWindowCache", "GRU": "BasicGRUInplaceFillWindowCache"}
FEATURES, HIDDEN, BATCH = 11, 19, 1


def layer_network(path, kind, steps, *, opset=13, seed=3, lengths=False, **attributes):
    """x (N, T, F), h (N, H), c (N, H) -> one layer -> sequence (N, T, H), next_h, next_c."""
    rng = np.random.default_rng(seed)
    rows = GATES[kind] * HIDDEN
    constants = {"W": rng.normal(0, 0.4, (1, rows, FEATURES)), "R": rng.normal(0, 0.25, (1, rows, HIDDEN)),
                 "B": rng.normal(0, 0.2, (1, 2 * rows))}
    if kind == "GRU":
        attributes.setdefault("linear_before_reset", 1)
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    axes = numpy_helper.from_array(np.array([0]), "axes")
    nodes = [helper.make_node("Transpose", ["x"], ["xt"], "transpose", perm=[1, 0, 2])]
    nodes += [helper.make_node("Unsqueeze", [s, "axes"], [s + "0"], "unsqueeze_" + s) for s in states]
    inputs = ["xt", "W", "R", "B", "lengths" if lengths else ""] + [s + "0" for s in states]
    outputs = ["y"] + ["y_" + s for s in states]
    nodes.append(helper.make_node(kind, inputs, outputs, "layer", hidden_size=HIDDEN, **attributes))
    nodes += [helper.make_node("Squeeze", ["y_" + s, "axes"], ["next_" + s], "squeeze_" + s) for s in states]
    nodes += [helper.make_node("Squeeze", ["y", "one"], ["ys"], "squeeze_y"),
              helper.make_node("Transpose", ["ys"], ["sequence"], "back", perm=[1, 0, 2])]
    tensors = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()]
    tensors += [axes, numpy_helper.from_array(np.array([1]), "one")]
    values = [("x", [BATCH, steps, FEATURES])] + [(s, [BATCH, HIDDEN]) for s in states]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values]
    if lengths:
        infos.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [BATCH]))
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in
               ["sequence"] + ["next_" + s for s in states]]
    graph = helper.make_graph(nodes, "layer", infos, results, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))


def samples(kind, steps, count, seed, lengths=False, zero_state=False):
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.5, (count, steps, FEATURES)), axis=1)
    feeds = {"x": walk.astype(np.float32)}
    for s in ["h", "c"] if kind == "LSTM" else ["h"]:
        feeds[s] = (rng.uniform(-0.7, 0.7, (count, HIDDEN)) * (not zero_state)).astype(np.float32)
    if lengths:
        feeds["lengths"] = rng.integers(0, steps + 1, count).astype(np.int32)
    return feeds


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


class Deployed:
    """The recurrent operator of a deploy file, in numpy integers."""

    def __init__(self, path, kind, name="layer"):
        model = onnx.load(str(path))
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        node = next(n for n in model.graph.node if n.name == name)
        assert node.op_type == DEPLOY[kind], node.op_type
        self.attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.inputs = list(node.input)
        self.kind = kind
        places = {"LSTM": (5, 6, 8), "GRU": (4, 5, 7)}[kind]  # bias, lengths, factors
        self.w, self.r = constants[node.input[1]][0], constants[node.input[2]][0]
        self.b = constants[node.input[places[0]]][0].astype(np.int64)
        self.length_input = node.input[places[1]]
        words = constants[node.input[places[2]]]
        assert words.dtype == np.uint64 and not (words >> np.uint64(32)).any()
        self.factors = np.repeat(words.astype(np.uint32).view(np.float32), 2 * len(self.w) // len(words))
        self.factor_count = len(words)
        self.high = {2: 127, 6: 32767}[self.attrs["quant_dtype"]]

    def integers(self, x, suffix):
        scale, offset = np.float32(self.attrs["quant_scale_" + suffix]), self.attrs["quant_offset_" + suffix]
        q = np.rint(x.astype(np.float32) * scale) + offset
        return (np.clip(q, -self.high - 1, self.high) - offset).astype(np.int64)

    def product(self, x, suffix):
        rows = len(self.w)
        part = slice(0, rows) if suffix == "x" else slice(rows, 2 * rows)
        weight = (self.w if suffix == "x" else self.r).astype(np.int64)
        return (self.integers(x, suffix) @ weight.T + self.b[part]).astype(np.float32) * self.factors[part]

    def run(self, x, h, c=None, lengths=None):
        """Of one sample: x (T, F), h (H), c (H)."""
        length = len(x) if lengths is None else int(lengths)
        sequence = np.zeros((len(x), HIDDEN), np.float32)
        for t in range(length):
            from_x, from_h = self.product(x[t], "x"), self.product(h, "h")
            if self.kind == "LSTM":
                i, o, f, g = np.split(from_x + from_h, 4)
                c = (sigmoid(f) * c + sigmoid(i) * np.tanh(g)).astype(np.float32)
                h = (sigmoid(o) * np.tanh(c)).astype(np.float32)
            else:
                (xz, xr, xn), (hz, hr, hn) = np.split(from_x, 3), np.split(from_h, 3)
                z, r = sigmoid(xz + hz), sigmoid(xr + hr)
                h = ((1 - z) * np.tanh(xn + r * hn) + z * h).astype(np.float32)
            sequence[t] = h
        if length == 0:
            h, c = h * 0, None if c is None else c * 0
        return [sequence, h] + ([] if c is None else [c])


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def decibels(expected, got):
    expected, got = np.concatenate([e.ravel() for e in expected]), np.concatenate([g.ravel() for g in got])
    return 10 * np.log10((expected.astype(np.float64)**2).sum() / max(((expected - got)**2).sum(), 1e-30))

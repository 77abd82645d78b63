"""Networks with recurrent layers, data for them, and the deploy operators in numpy integers.

bare_layer(): an operator alone. layer_network(): one layer with its states as inputs, as it is deployed. keyword_network(): layers
over time with dense ones behind them.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.models import constants_of, save_model

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEPLOY = {"LSTM": "BasicLSTMInplaceFillWindowCache", "GRU": "BasicGRUInplaceFillWindowCache"}
FEATURES, HIDDEN, BATCH = 11, 19, 1  # of layer_network
FRAMES, BANDS, CLASSES = 49, 10, 12  # of keyword_network


def bare_layer(path, kind, batch, inputs, hidden, steps, *, bias=True, opset=17, ir_version=8, seed=5, **attributes):
    """x (T, N, F) -> y."""
    random = np.random.default_rng(seed)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    rows = GATES[kind] * hidden
    shapes = {"w": (directions, rows, inputs), "r": (directions, rows, hidden)} | ({"b": (directions, 2 * rows)} if bias else {})
    weights = {name: random.standard_normal(shape) / np.sqrt(shape[-1]) for name, shape in shapes.items()}
    node = helper.make_node(kind, ["x", *weights], ["y"], hidden_size=hidden, **attributes)
    save_model(path, [node], [("x", [steps, batch, inputs])], [("y", None)], weights, opset=opset, ir_version=ir_version)


def layer_network(path, kind, steps, *, opset=13, seed=3, lengths=False, **attributes):
    """x (N, T, F), h (N, H), c (N, H) -> one layer -> sequence (N, T, H), next_h, next_c."""
    rng = np.random.default_rng(seed)
    rows = GATES[kind] * HIDDEN
    constants = {"W": rng.normal(0, 0.4, (1, rows, FEATURES)), "R": rng.normal(0, 0.25, (1, rows, HIDDEN)),
                 "B": rng.normal(0, 0.2, (1, 2 * rows))}
    if kind == "GRU":
        attributes.setdefault("linear_before_reset", 1)
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    nodes = [helper.make_node("Transpose", ["x"], ["xt"], "transpose", perm=[1, 0, 2])]
    nodes += [helper.make_node("Unsqueeze", [s, "axes"], [s + "0"], "unsqueeze_" + s) for s in states]
    operands = ["xt", "W", "R", "B", "lengths" if lengths else ""] + [s + "0" for s in states]
    nodes.append(helper.make_node(kind, operands, ["y"] + ["y_" + s for s in states], "layer", hidden_size=HIDDEN, **attributes))
    nodes += [helper.make_node("Squeeze", ["y_" + s, "axes"], ["next_" + s], "squeeze_" + s) for s in states]
    nodes += [helper.make_node("Squeeze", ["y", "one"], ["ys"], "squeeze_y"),
              helper.make_node("Transpose", ["ys"], ["sequence"], "back", perm=[1, 0, 2])]
    inputs = [("x", [BATCH, steps, FEATURES])] + [(s, [BATCH, HIDDEN]) for s in states]
    if lengths:
        inputs.append(("lengths", [BATCH], TensorProto.INT32))
    results = [(name, None) for name in ["sequence"] + ["next_" + s for s in states]]
    save_model(path, nodes, inputs, results, constants | {"axes": np.array([0]), "one": np.array([1])}, opset=opset)


def samples(kind, steps, count, seed, lengths=False, zero_state=False):
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0, 0.5, (count, steps, FEATURES)), axis=1)
    feeds = {"x": walk.astype(np.float32)}
    for s in ["h", "c"] if kind == "LSTM" else ["h"]:
        feeds[s] = (rng.uniform(-0.7, 0.7, (count, HIDDEN)) * (not zero_state)).astype(np.float32)
    if lengths:
        feeds["lengths"] = rng.integers(0, steps + 1, count).astype(np.int32)
    return feeds


def keyword_network(path, kind, *, hidden=37, layers=1, seed=1, opset=13, **attributes):
    """(N, 49, 10) features -> layers over time -> last state -> dense, ReLU -> 12 scores."""
    rng = np.random.default_rng(seed)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    constants, nodes = {}, [helper.make_node("Transpose", ["features"], ["t0"], "transpose", perm=[1, 0, 2])]
    width = BANDS
    for layer in range(layers):
        rows = GATES[kind] * hidden
        shapes = {"W": (directions, rows, width), "R": (directions, rows, hidden), "B": (directions, 2 * rows)}
        for name, shape in shapes.items():
            constants[f"{name}{layer}"] = rng.uniform(-1, 1, shape) / np.sqrt(hidden) * (2 if name == "W" else 1)
        nodes.append(helper.make_node(kind, [f"t{layer}", f"W{layer}", f"R{layer}", f"B{layer}"], [f"y{layer}", f"h{layer}"],
                                      f"recurrent{layer}", hidden_size=hidden, **attributes))
        width = directions * hidden
        constants[f"merged{layer}"] = np.array([FRAMES, -1, width])
        nodes += [helper.make_node("Transpose", [f"y{layer}"], [f"p{layer}"], f"merge{layer}", perm=[0, 2, 1, 3]),
                  helper.make_node("Reshape", [f"p{layer}", f"merged{layer}"], [f"t{layer + 1}"], f"reshape{layer}")]
    constants |= {"last": np.array(FRAMES - 1), "dense.w": rng.normal(0, 0.3, (width, 21)), "dense.b": rng.normal(0, 0.1, 21),
                  "out.w": rng.normal(0, 0.4, (CLASSES, 21)), "out.b": rng.normal(0, 0.1, CLASSES)}
    nodes += [helper.make_node("Gather", [f"t{layers}", "last"], ["state"], "last_state", axis=0),
              helper.make_node("MatMul", ["state", "dense.w"], ["m"], "dense"),
              helper.make_node("Add", ["m", "dense.b"], ["a"], "dense_bias"),
              helper.make_node("Relu", ["a"], ["r"], "relu"),
              helper.make_node("Gemm", ["r", "out.w", "out.b"], ["scores"], "out", transB=1)]
    save_model(path, nodes, [("features", ["N", FRAMES, BANDS])], [("scores", ["N", CLASSES])], constants, opset=opset)


def features(samples, seed=2):
    """Slowly changing curves, as spectra over time are."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.6, (samples, FRAMES, BANDS))
    return (np.cumsum(steps, axis=1) * 0.5).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


class Deployed:
    """The recurrent operator of a deploy file, in numpy integers."""

    def __init__(self, path, kind, name="layer"):
        model = onnx.load(str(path))
        constants = constants_of(path)
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

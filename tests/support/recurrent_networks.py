"""Small keyword-spotting networks with recurrent layers, made here: what the everyday tests have of this kind."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS, FEATURES, CLASSES = 49, 10, 12
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def keyword_network(path, kind, *, hidden=37, layers=1, seed=1, opset=13, **attributes):
    """(N, 49, 10) features -> layers over time -> last state -> dense, ReLU -> 12 scores."""
    rng = np.random.default_rng(seed)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    constants, nodes = {}, [helper.make_node("Transpose", ["features"], ["t0"], "transpose", perm=[1, 0, 2])]
    width = FEATURES
    for layer in range(layers):
        rows = GATES[kind] * hidden
        shapes = {"W": (directions, rows, width), "R": (directions, rows, hidden), "B": (directions, 2 * rows)}
        for name, shape in shapes.items():
            constants[f"{name}{layer}"] = rng.uniform(-1, 1, shape) / np.sqrt(hidden) * (2 if name == "W" else 1)
        nodes.append(helper.make_node(kind, [f"t{layer}", f"W{layer}", f"R{layer}", f"B{layer}"], [f"y{layer}", f"h{layer}"],
                                      f"recurrent{layer}", hidden_size=hidden, **attributes))
        width = directions * hidden
        constants[f"merged{layer}"] = np.array([STEPS, -1, width])
        nodes += [helper.make_node("Transpose", [f"y{layer}"], [f"p{layer}"], f"merge{layer}", perm=[0, 2, 1, 3]),
                  helper.make_node("Reshape", [f"p{layer}", f"merged{layer}"], [f"t{layer + 1}"], f"reshape{layer}")]
    constants |= {"last": np.array(STEPS - 1), "dense.w": rng.normal(0, 0.3, (width, 21)), "dense.b": rng.normal(0, 0.1, 21),
                  "out.w": rng.normal(0, 0.4, (CLASSES, 21)), "out.b": rng.normal(0, 0.1, CLASSES)}
    nodes += [helper.make_node("Gather", [f"t{layers}", "last"], ["state"], "last_state", axis=0),
              helper.make_node("MatMul", ["state", "dense.w"], ["m"], "dense"),
              helper.make_node("Add", ["m", "dense.b"], ["a"], "dense_bias"),
              helper.make_node("Relu", ["a"], ["r"], "relu"),
              helper.make_node("Gemm", ["r", "out.w", "out.b"], ["scores"], "out", transB=1)]
    tensors = [numpy_helper.from_array(v.astype(np.int64 if v.dtype.kind == "i" else np.float32), k)
               for k, v in constants.items()]
    graph = helper.make_graph(nodes, "keywords", [helper.make_tensor_value_info("features", TensorProto.FLOAT,
                                                                                ["N", STEPS, FEATURES])],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))


def features(samples, seed=2):
    """Slowly changing curves, as spectra over time are."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 0.6, (samples, STEPS, FEATURES))
    return (np.cumsum(steps, axis=1) * 0.5).astype(np.float32)

"""An LSTM in ONNX Runtime with float weights and with int8 weights behind DequantizeLinear: time of a run and file size.

usage: recurrent_qdq.py
"""

import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def model(steps, inputs, hidden, integer):
    rng = np.random.default_rng(0)
    weights = {"W": rng.normal(0, 0.1, (1, 4 * hidden, inputs)), "R": rng.normal(0, 0.1, (1, 4 * hidden, hidden))}
    constants, nodes = {"B": rng.normal(0, 0.1, (1, 8 * hidden)).astype(np.float32)}, []
    for name, values in weights.items():
        if not integer:
            constants[name] = values.astype(np.float32)
            continue
        scales = (np.abs(values).max(axis=2) / 127)[0].astype(np.float32)
        constants |= {name + ".q": np.rint(values / scales[None, :, None]).astype(np.int8), name + ".s": scales}
        nodes.append(helper.make_node("DequantizeLinear", [name + ".q", name + ".s"], [name], axis=1))
    nodes.append(helper.make_node("LSTM", ["x", "W", "R", "B", "", "h", "c"], ["y", "y_h", "y_c"], hidden_size=hidden))
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in
             (("x", [steps, 1, inputs]), ("h", [1, 1, hidden]), ("c", [1, 1, hidden]), ("y", None), ("y_h", None), ("y_c", None))]
    graph = helper.make_graph(nodes, "lstm", infos[:3], infos[3:],
                              [numpy_helper.from_array(v, k) for k, v in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def main():
    print("steps inputs hidden   float: us, kB   int8: us, kB")
    for steps, inputs, hidden in ((1, 257, 128), (49, 64, 256)):
        feeds = {"x": np.random.default_rng(1).normal(0, 1, (steps, 1, inputs)).astype(np.float32),
                 "h": np.zeros((1, 1, hidden), np.float32), "c": np.zeros((1, 1, hidden), np.float32)}
        line = f"{steps:5} {inputs:6} {hidden:6}"
        for integer in (False, True):
            data, options = model(steps, inputs, hidden, integer), onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            best = float("inf")
            for _ in range(60):
                start = time.perf_counter()
                session.run(None, feeds)
                best = min(best, time.perf_counter() - start)
            line += f"   {best * 1e6:9.0f} {len(data) / 1e3:6.0f}"
        print(line)


if __name__ == "__main__":
    main()

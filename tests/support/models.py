"""Networks written node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model_of(nodes, inputs, outputs, constants, *, opset=13, ir_version=8, name="net"):
    """`inputs` and `outputs`: (name, extents or None) of float32 values, or (name, extents, element type); `constants`:
    name -> numbers, doubles as float32."""
    def values(rows):
        return [helper.make_tensor_value_info(label, *(kind or [TensorProto.FLOAT]), dims) for label, dims, *kind in rows]

    arrays = {key: np.asarray(value) for key, value in constants.items()}
    arrays = {key: value.astype(np.float32) if value.dtype == np.float64 else value for key, value in arrays.items()}
    tensors = [numpy_helper.from_array(value, key) for key, value in arrays.items()]
    taken = values(inputs)
    if ir_version < 4:  # which wants every constant among the inputs
        taken += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors]
    domains = sorted({"", *(node.domain for node in nodes)})
    graph = helper.make_graph(nodes, name, taken, values(outputs), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(d, 1 if d else opset) for d in domains],
                             ir_version=ir_version)


def save_model(path, nodes, inputs, outputs, constants=None, **options):
    model = model_of(nodes, inputs, outputs, constants or {}, **options)
    onnx.save(model, str(path))
    return model


def constants_of(path):
    """Name -> array of a file's initializers."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}


class Builder:
    """A graph under construction: methods add nodes and return the name of their output."""

    def __init__(self, random):
        self.random, self.nodes, self.constants = random, [], {}

    def constant(self, value, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        name = f"{op}_{len(self.nodes)}"
        names = [f"{name}_{i}" if i else f"{name}_out" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name, **attributes))
        return names[0] if outputs == 1 else names

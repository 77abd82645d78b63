"""A float32 ONNX model as float16: constants, inputs, outputs and every value between."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

FLOAT32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}  # that the operator wants in float32 whatever its data


def half(tensor):
    values = numpy_helper.to_array(tensor)
    assert np.abs(values).max(initial=0) < 65504, tensor.name
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)


def to_half(source, target):
    model = onnx.load(str(source))
    graph = model.graph
    kept = {node.input[port] for node in graph.node for port in FLOAT32_INPUTS.get(node.op_type, ())
            if port < len(node.input)}
    for initializer in graph.initializer:
        if initializer.data_type == TensorProto.FLOAT and initializer.name not in kept:
            initializer.CopyFrom(half(initializer))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT and not kept & set(node.output):
                attribute.t.CopyFrom(half(attribute.t))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in kept:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))

"""A quantized network between its integers: each tensor of them is computed in ONNX Runtime from those that amct has for what it
reads, so that one that a last bit carried over the edge between two quanta changes nothing behind it.

Integers are what QuantizeLinear gives in a Q/DQ file, what Round gives in a fake-quant one."""

import collections
import pathlib
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.measures import part_of_range
from support.onnx_runtime import session
from support.program import run_model

# Elements, those that differ by one quantum and by more; largest difference of an output as a part of its range.
Count = collections.namedtuple("Count", "elements one more output")


def agree(count, share=2e-5, output=1e-4):
    """Whether few enough differ, by one quantum alone, for a float sum's last bit to be the cause."""
    return (count.elements > 0 and count.more == 0 and count.one <= max(2, share * count.elements) and
            count.output <= output)


def distances(integers, other):
    distance = np.abs(integers.astype(np.int64) - other)
    return np.array([distance.size, np.count_nonzero(distance == 1), np.count_nonzero(distance > 1)])


class QuantizedParts:
    def __init__(self, path):
        self.model = onnx.load(str(path))
        graph = self.model.graph
        self.producers = {output: node for node in graph.node for output in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [v.name for v in graph.input if v.name not in self.constants]
        self.quantized = [n.output[0] for n in graph.node if n.op_type in ("QuantizeLinear", "Round") and not self.is_constant(n)]
        self.outputs = [value.name for value in graph.output if value.name not in self.quantized]

    def narrow(self, name):
        """The type of a tensor of 4 bits and the one of 8 bits that NumPy has in its place, else None."""
        node = self.producers.get(name)
        zero = self.constants.get(node.input[2]) if node is not None and len(node.input) > 2 else None
        kinds = {TensorProto.UINT4: TensorProto.UINT8, TensorProto.INT4: TensorProto.INT8}
        return (zero.data_type, kinds[zero.data_type]) if zero is not None and zero.data_type in kinds else None

    def is_constant(self, node):
        """True for what is computed from constants alone."""
        return all(not name or name in self.constants or
                   (name in self.producers and self.is_constant(self.producers[name])) for name in node.input)

    def run_ours(self, feed, *options):
        """The quantized tensors and the outputs as amct computes them, and the network's input."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in self.quantized + self.outputs)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "outputs.onnx"
            onnx.save(model, str(path))
            return run_model(path, feed, *options) | feed

    def part(self, tensor):
        """Nodes in order that compute a quantized tensor, and what they read: quantized tensors or the network's input."""
        nodes, reads = [], []

        def visit(name):
            if not name or name in self.constants or any(name in node.output for node in nodes):
                return
            if name in self.inputs or (name in self.quantized and name != tensor):
                if name not in reads:
                    reads.append(name)
                return
            for operand in self.producers[name].input:
                visit(operand)
            nodes.append(self.producers[name])

        visit(tensor)
        return nodes, reads

    def run_part(self, tensor, values, optimize_of):
        """The tensor as ONNX Runtime computes it from `values` of what it reads; the kinds of its nodes."""
        nodes, reads = self.part(tensor)
        feed = {}
        for name in reads:
            if kinds := self.narrow(name):
                nodes = [helper.make_node("Cast", [name + ".wide"], [name], to=kinds[0]), *nodes]
                feed[name + ".wide"] = values[name].astype(helper.tensor_dtype_to_np_dtype(kinds[1]))
            else:
                feed[name] = values[name]
        output = tensor
        if kinds := self.narrow(tensor):
            output = tensor + ".wide"
            nodes = [*nodes, helper.make_node("Cast", [tensor], [output], to=kinds[1])]
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feed.items()]
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(nodes, "part", inputs, [helper.make_empty_tensor_value_info(output)],
                                  [self.constants[name] for name in sorted(used & self.constants.keys())])
        model = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        kinds = [node.op_type for node in nodes if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Cast")]
        return session(model, optimize=optimize_of(kinds)).run(None, feed)[0], "+".join(kinds) or "QuantizeLinear"

    def compare(self, feed, *options, optimize_of=lambda kinds: False, by_kind=None):
        """Count of all quantized tensors. `optimize_of`: kinds of nodes -> session()'s `optimize`; `by_kind`: kinds ->
        their sums."""
        values, total, output = self.run_ours(feed, *options), np.zeros(3, np.int64), 0.0
        for tensor in self.quantized:
            theirs, kind = self.run_part(tensor, values, optimize_of)
            counts = distances(values[tensor], theirs)
            total += counts
            if by_kind is not None:
                by_kind[kind] = by_kind.get(kind, 0) + counts
        for name in self.outputs:
            theirs, _ = self.run_part(name, values, optimize_of)
            assert np.isfinite(theirs).all(), f"{name} is not finite"
            output = max(output, float(part_of_range(theirs, values[name])))
        return Count(*(int(n) for n in total), output)

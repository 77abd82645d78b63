"""A Q/DQ file as the tests look into it, and how they make one."""

import pathlib

import onnx
from onnx import numpy_helper

from support.command_test import CommandTest
from support.onnx_runtime import session


class File:
    """A QDQ file, and who makes and reads its values."""

    def __init__(self, path):
        self.path = path
        self.model = onnx.load(str(path))
        onnx.checker.check_model(self.model, full_check=True)
        graph = self.model.graph
        self.opset = self.model.opset_import[0].version
        self.constants = {item.name: item for item in graph.initializer}
        self.producer = {name: node for node in graph.node for name in node.output}
        self.nodes = list(graph.node)

    def readers(self, name):
        return [node for node in self.nodes if name in node.input]

    def of(self, *types):
        return [node for node in self.nodes if node.op_type in types]

    def array(self, name):
        return numpy_helper.to_array(self.constants[name])

    def dtype(self, name):
        return self.constants[name].data_type

    def axis(self, node):
        return next((a.i for a in node.attribute if a.name == "axis"), None)

    def run(self, feeds):
        return session(self.path).run(None, feeds)[0]


class QdqCase(CommandTest):
    def qdq(self, *extra, model=None, data=None):
        prefix = self.work / "q"
        self.run_amct("quantize", model or self.model, *(data or ["--data", self.data]), "--out", prefix, *extra)
        return File(pathlib.Path(f"{prefix}_qdq.onnx"))

    def feeds(self):
        return {"x": self.samples[:4]}

"""Networks with QuantizeLinear and DequantizeLinear as quantizers write them, and what their conversion is compared by."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from support.command_test import SEED, CommandTest
from support.models import constants_of, save_model
from support.onnx_runtime import run_plainly


def layers_by_name(path):
    model = onnx.load(str(path))
    return model, constants_of(path), {n.name: n for n in model.graph.node}


class Pairs:
    """A network of nodes with quantization in between, written as a quantizer would."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        self.constants[name] = np.asarray(value)
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], f"{name}_{op}", **attributes))
        return name

    def pair(self, x, scale, zero, back=None):
        s, z = self.constant(f"{x}_s", np.float32(scale)), self.constant(f"{x}_z", zero)
        b = s if back is None else self.constant(f"{x}_b", np.float32(back))
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, s, z], f"{x}_q"), b, z], f"{x}_dq")

    def stored(self, name, integers, scale, **attributes):
        q = self.constant(f"{name}_q", integers)
        s = self.constant(f"{name}_s", np.float32(scale))
        z = self.constant(f"{name}_z", np.zeros(np.shape(scale), integers.dtype))
        return self.node("DequantizeLinear", [q, s, z], f"{name}_dq", **attributes)

    def save(self, path, inputs, outputs, opset=13):
        save_model(path, self.nodes, inputs, [(name, shape, kind) for name, kind, shape in outputs], self.constants, opset=opset)


class QatTest(CommandTest):
    def convert(self, model, *extra, out="b/qat"):
        return self.run_json("convert", model, "--out", self.work / out, *extra), self.work / out

    def same(self, m, inputs, output, shape, out, opset=13, quantized=1):
        """Converts the network and compares every bit of the output."""
        path = self.work / f"{out}.onnx"
        m.save(path, inputs, [(output, TensorProto.FLOAT, shape)], opset)
        report, prefix = self.convert(path, out=f"s/{out}")
        self.assertEqual(report["quantized"], quantized, report["kept_float"])
        rng = np.random.default_rng(SEED + 5)
        feeds = {n: rng.normal(0, 2, s).astype(np.float32) for n, s in inputs}
        np.testing.assert_array_equal(run_plainly(f"{prefix}_fake_quant_model.onnx", feeds)[0],
                                      run_plainly(path, feeds)[0])
        return report, layers_by_name(f"{prefix}_deploy_model.onnx")

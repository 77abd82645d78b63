"""Networks as ONNX Runtime's optimizer writes them load and run with the result that ONNX Runtime gives for them.

usage: optimized_models.py AMCT
Float networks at the basic and extended level, and what `amct quantize` writes for ONNX Runtime at every level. ONNX Runtime
itself gives two results for a quantized network, in floats below the extended level and in integers from there on, up to
4 % of the range apart on mobilenet_v1_025: ours may be as far from the one of the file's level. A small transformer stands
for the fused forms of attention blocks.
"""

import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from support.assets import assets_or_exit

SEED = 4
LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
QUANTIZED_LEVELS = LEVELS | {"all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
FLOAT_NETWORKS = ("mobilenet_v1_025", "resnet8_cifar10", "mnist_cntk")
QUANTIZED_NETWORKS = ("mobilenet_v1_025", "resnet8_cifar10")
TOLERANCE = 1e-4  # of the output's range
WIDTH, HEADS, BATCH, TOKENS = 32, 4, 2, 6


class Transformer:
    """Two encoder layers of plain operators, as exporters write them."""

    def __init__(self, random):
        self.random, self.nodes, self.constants = random, [], []
        self.scalars = {name: self.constant(name, np.float32(value))
                        for name, value in (("two", 2), ("epsilon", 1e-5), ("root", 2**0.5), ("one", 1), ("half", 0.5),
                                            ("scale", (WIDTH // HEADS) ** 0.5))}
        self.split = self.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS]))
        self.join = self.constant("join", np.array([0, 0, WIDTH]))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape):
        return self.constant(f"w{len(self.constants)}", self.random.normal(0, 0.2, shape).astype(np.float32))

    def node(self, op, *inputs, **attrs):
        output = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attrs))
        return output

    def linear(self, x, inputs, outputs):
        return self.node("Add", self.node("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs))

    def norm(self, x):
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        variance = self.node("ReduceMean", self.node("Pow", centred, "two"), axes=[-1])
        scaled = self.node("Div", centred, self.node("Sqrt", self.node("Add", variance, "epsilon")))
        return self.node("Add", self.node("Mul", scaled, self.weight(WIDTH)), self.weight(WIDTH))

    def heads(self, x, perm):
        return self.node("Transpose", self.node("Reshape", self.linear(x, WIDTH, WIDTH), self.split), perm=perm)

    def layer(self, x):
        query, key, value = (self.heads(x, perm) for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = self.node("Add", self.node("Div", self.node("MatMul", query, key), "scale"), "mask")
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=-1), value)
        mixed = self.node("Reshape", self.node("Transpose", mixed, perm=[0, 2, 1, 3]), self.join)
        x = self.norm(self.node("Add", self.linear(mixed, WIDTH, WIDTH), x))
        wide = self.linear(x, WIDTH, 4 * WIDTH)
        erf = self.node("Erf", self.node("Div", wide, "root"))
        wide = self.node("Mul", self.node("Mul", wide, self.node("Add", erf, "one")), "half")
        return self.norm(self.node("Add", self.linear(wide, 4 * WIDTH, WIDTH), x))

    def model(self):
        y = self.layer(self.layer("x"))
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "S", WIDTH]),
                  helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["B", 1, 1, "S"])]
        graph = helper.make_graph(self.nodes, "encoder", inputs, [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)],
                                  self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Comparison:
    def __init__(self, amct, work):
        self.amct, self.work, self.faults, self.count = amct, work, [], 0

    def optimize(self, model, level, name):
        """The optimized file and its session."""
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(self.work / f"{name}.onnx")
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        return self.work / f"{name}.onnx", session

    @staticmethod
    def distance(ours, theirs):
        return np.abs(ours - theirs).max() / max(np.ptp(theirs), 1e-9)

    def compare(self, model, level, name, feeds, other_level=None):
        path, session = self.optimize(model, level, name)
        theirs = session.run(None, feeds)
        if other_level is not None:  # fused or not, ONNX Runtime rounds differently: ours must be one of the two
            theirs += self.optimize(model, other_level, f"{name}_other")[1].run(None, feeds)
        foreign = collections.Counter(node.op_type for node in onnx.load(str(path)).graph.node
                                      if node.domain == "com.microsoft")
        out = self.work / f"{name}_out"
        command = [self.amct, "run", path, "--out", out]
        for key, array in feeds.items():
            np.save(self.work / f"{key.replace('/', '_')}.npy", array)
            command += ["--input", f"{key}={self.work / (key.replace('/', '_') + '.npy')}"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        self.count += 1
        if done.returncode != 0:
            self.faults.append(f"{name}: {done.stderr.strip()}")
            return
        ours = [np.load(file) for file in sorted(out.glob("*.npy"))]
        assert len(ours) == 1, "the networks have one output"
        worst = min(self.distance(ours[0], reference) for reference in theirs)
        print(f"{name}: {worst:.2g} of the range, {dict(foreign)}")
        if not worst <= TOLERANCE:
            self.faults.append(f"{name}: differs by {worst:.3g} of the output's range")


def image_feed(model, random, batch):
    value = next(v for v in onnx.load(str(model)).graph.input)
    shape = [dim.dim_value if dim.dim_value > 0 else batch for dim in value.type.tensor_type.shape.dim]
    return value.name, random.random(shape, np.float32)


def main():
    networks = assets_or_exit() / "onnx"
    random = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(sys.argv[1], pathlib.Path(folder))
        for network in FLOAT_NETWORKS:
            name, image = image_feed(networks / f"{network}.onnx", random, 2)
            for level, value in LEVELS.items():
                comparison.compare(networks / f"{network}.onnx", value, f"{network}_{level}", {name: image})
        encoder = comparison.work / "encoder.onnx"
        onnx.save(Transformer(random).model(), str(encoder))
        mask = np.where(random.random((BATCH, 1, 1, TOKENS)) < 0.2, -10000, 0).astype(np.float32)
        feeds = {"x": random.normal(0, 1, (BATCH, TOKENS, WIDTH)).astype(np.float32), "mask": mask}
        for level, value in LEVELS.items():
            comparison.compare(encoder, value, f"encoder_{level}", feeds)
        for network in QUANTIZED_NETWORKS:
            name, images = image_feed(networks / f"{network}.onnx", random, 16)
            data, prefix = comparison.work / "data.npy", comparison.work / f"q_{network}"
            np.save(data, np.concatenate([images] * (8 if len(images) == 1 else 1)))
            subprocess.run([sys.argv[1], "quantize", str(networks / f"{network}.onnx"), "--data", str(data), "--emit", "qdq",
                            "--out", str(prefix)], check=True, capture_output=True)
            quantized = prefix.with_name(f"{prefix.name}_qdq.onnx")
            for level, value in QUANTIZED_LEVELS.items():
                comparison.compare(quantized, value, f"{network}_qdq_{level}", {name: images},
                                   other_level=LEVELS["extended"])
    for fault in comparison.faults:
        print(f"FAILED {fault}")
    print(f"{comparison.count} files run, {len(comparison.faults)} faults (seed {SEED})")
    sys.exit(1 if comparison.faults else 0)


if __name__ == "__main__":
    main()

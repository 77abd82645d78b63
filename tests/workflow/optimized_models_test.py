"""Networks as ONNX Runtime's optimizer writes them load and run with the result that ONNX Runtime gives for them.

Float networks at the basic and extended level, and what `amct quantize` writes for ONNX Runtime at every level. ONNX Runtime
itself gives two results for a quantized network, in floats below the extended level and in integers from there on, up to
4 % of the range apart on mobilenet_v1_025: ours may be as far from the one of the file's level. A small transformer stands
for the fused forms of attention blocks.
"""

import collections
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from support.assets import assets_or_exit
from support.measures import part_of_range
from support.model_data import inputs_of
from support.models import Builder, save_model
from support.onnx_runtime import session
from support.program import amct, run_model

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


class Transformer(Builder):
    """Two encoder layers of plain operators, as exporters write them."""

    def __init__(self, random):
        super().__init__(random)
        for name, value in (("two", 2), ("epsilon", 1e-5), ("root", 2**0.5), ("one", 1), ("half", 0.5),
                            ("scale", (WIDTH // HEADS) ** 0.5)):
            self.constant(np.float32(value), name)
        self.split = self.constant(np.array([0, 0, HEADS, WIDTH // HEADS]))
        self.join = self.constant(np.array([0, 0, WIDTH]))

    def weight(self, *shape):
        return self.constant(self.random.normal(0, 0.2, shape))

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

    def save(self, path):
        y = self.layer(self.layer("x"))
        save_model(path, self.nodes, [("x", ["B", "S", WIDTH]), ("mask", ["B", 1, 1, "S"])], [(y, None)], self.constants)


class Comparison:
    def __init__(self, work):
        self.work, self.faults, self.count = work, [], 0

    def optimize(self, model, level, name):
        """The optimized file and its session."""
        path = self.work / f"{name}.onnx"
        return path, session(model, optimize=level, save=path)

    def compare(self, model, level, name, feeds, other_level=None):
        path, runner = self.optimize(model, level, name)
        theirs = runner.run(None, feeds)
        if other_level is not None:  # fused or not, ONNX Runtime rounds differently: ours must be one of the two
            theirs += self.optimize(model, other_level, f"{name}_other")[1].run(None, feeds)
        foreign = collections.Counter(node.op_type for node in onnx.load(str(path)).graph.node
                                      if node.domain == "com.microsoft")
        self.count += 1
        try:
            ours, = run_model(path, feeds).values()
        except RuntimeError as error:
            self.faults.append(f"{name}: {error}")
            return
        worst = min(part_of_range(reference, ours) for reference in theirs)
        print(f"{name}: {worst:.2g} of the range, {dict(foreign)}")
        if not worst <= TOLERANCE:
            self.faults.append(f"{name}: differs by {worst:.3g} of the output's range")


def image_feed(model, random):
    (name, dims), = inputs_of(model).items()
    return name, random.random(dims, np.float32)


def main():
    networks = assets_or_exit() / "onnx"
    random = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(pathlib.Path(folder))
        for network in FLOAT_NETWORKS:
            name, image = image_feed(networks / f"{network}.onnx", random)
            for level, value in LEVELS.items():
                comparison.compare(networks / f"{network}.onnx", value, f"{network}_{level}", {name: image})
        encoder = comparison.work / "encoder.onnx"
        Transformer(random).save(encoder)
        mask = np.where(random.random((BATCH, 1, 1, TOKENS)) < 0.2, -10000, 0).astype(np.float32)
        feeds = {"x": random.normal(0, 1, (BATCH, TOKENS, WIDTH)).astype(np.float32), "mask": mask}
        for level, value in LEVELS.items():
            comparison.compare(encoder, value, f"encoder_{level}", feeds)
        for network in QUANTIZED_NETWORKS:
            name, images = image_feed(networks / f"{network}.onnx", random)
            data, prefix = comparison.work / "data.npy", comparison.work / f"q_{network}"
            np.save(data, np.concatenate([images] * 8))
            amct("quantize", networks / f"{network}.onnx", "--data", data, "--emit", "qdq", "--out", prefix)
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

"""Writes the networks that the benchmarks need beyond the assets: ResNet-50, EfficientNet-B0, the encoder stack of BERT-base,
a YOLO-like detector and an audio network with LSTM.

Random weights with a fixed seed (He initialisation), opset 17, open batch axis "N". Batch norms stay nodes of their own, with
the statistics that the network really has on normal data, so that folding and quantization see a sensible network.

usage: make_networks.py [FOLDER]     default: build/bench-networks
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

from support.assets import ROOT
from support.models import Builder, model_of
from support.onnx_runtime import session


class Network(Builder):
    """A graph under construction: methods add nodes and return the name of their output."""

    def __init__(self, name, shape):
        super().__init__(np.random.default_rng(17))
        self.name, self.inputs, self.outputs = name, [("input", ["N", *shape])], []

    def constant(self, array, dtype=np.float32):
        return super().constant(np.asarray(array, dtype=dtype))

    def weight(self, *shape, fan_in, gain=2.0):
        return self.constant(self.random.standard_normal(shape) * np.sqrt(gain / fan_in))

    def conv(self, x, channels_in, channels, kernel=1, stride=1, group=1, bias=False, rank=2, gain=2.0):
        shape = [channels, channels_in // group, *[kernel] * rank]
        inputs = [x, self.weight(*shape, fan_in=np.prod(shape[1:]), gain=gain)]
        if bias:
            inputs.append(self.constant(self.random.standard_normal(channels) * 0.1))
        return self.node("Conv", *inputs, kernel_shape=[kernel] * rank, strides=[stride] * rank, group=group,
                       pads=[(kernel - 1) // 2] * rank + [kernel // 2] * rank)

    def batch_norm(self, x, channels):
        scale, shift = self.random.uniform(0.5, 1.5, channels), self.random.standard_normal(channels) * 0.2
        return self.node("BatchNormalization", x, *map(self.constant, (scale, shift, np.zeros(channels), np.ones(channels))))

    def relu(self, x):
        return self.node("Relu", x)

    def silu(self, x):
        return self.node("Mul", x, self.node("Sigmoid", x))

    def dense(self, x, features_in, features, gain=2.0):
        """MatMul and Add, as exporters write a linear layer behind an open batch axis."""
        product = self.node("MatMul", x, self.weight(features_in, features, fan_in=features_in, gain=gain))
        return self.node("Add", product, self.constant(self.random.standard_normal(features) * 0.1))

    def classifier(self, x, channels, classes):
        pooled = self.node("Flatten", self.node("GlobalAveragePool", x))
        inputs = (self.weight(classes, channels, fan_in=channels, gain=1.0), self.constant(np.zeros(classes)))
        return self.node("Gemm", pooled, *inputs, transB=1)

    def output(self, x, *shape):
        self.outputs.append((x, ["N", *shape]))

    def model(self):
        return model_of(self.nodes, self.inputs, self.outputs, self.constants, opset=17, name=self.name)


def measure_batch_norms(model):
    """Gives every batch norm the statistics of its input: one run in training mode writes them to its extra outputs."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    norms = [n for n in probe.graph.node if n.op_type == "BatchNormalization"]
    if not norms:
        return
    measured = []
    for node in norms:
        node.output.extend([f"{node.name}_mean", f"{node.name}_var"])
        node.attribute.extend([helper.make_attribute("training_mode", 1), helper.make_attribute("momentum", 0.0)])
        measured.extend(zip(node.input[3:], node.output[1:]))
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for _, name in measured)
    dims = [d.dim_value or 4 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(1).standard_normal(dims).astype(np.float32)
    statistics = dict(zip((c for c, _ in measured), session(probe).run([name for _, name in measured], {"input": x})))
    for tensor in model.graph.initializer:
        if tensor.name in statistics:
            tensor.CopyFrom(numpy_helper.from_array(statistics[tensor.name], tensor.name))


def resnet50():
    """He et al. 2015, with the stride in the 3x3 convolution."""
    b = Network("resnet50", [3, 224, 224])
    x = b.relu(b.batch_norm(b.conv("input", 3, 64, 7, 2), 64))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (width, repeats) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(repeats):
            stride = 2 if stage and not block else 1
            y = b.relu(b.batch_norm(b.conv(x, channels, width), width))
            y = b.relu(b.batch_norm(b.conv(y, width, width, 3, stride), width))
            y = b.batch_norm(b.conv(y, width, 4 * width), 4 * width)
            if not block:
                x = b.batch_norm(b.conv(x, channels, 4 * width, 1, stride), 4 * width)
            x = b.relu(b.node("Add", y, x))
            channels = 4 * width
    b.output(b.classifier(x, channels, 1000), 1000)
    return b.model()


def squeeze_excite(b, x, channels, reduced):
    s = b.node("GlobalAveragePool", x)
    s = b.silu(b.conv(s, channels, reduced, bias=True))
    return b.node("Mul", x, b.node("Sigmoid", b.conv(s, reduced, channels, bias=True)))


def efficientnet_b0():
    """Tan and Le 2019: inverted bottlenecks with SiLU and squeeze-and-excite."""
    b = Network("efficientnet_b0", [3, 224, 224])
    x = b.silu(b.batch_norm(b.conv("input", 3, 32, 3, 2), 32))
    channels = 32
    for expand, width, repeats, stride, kernel in [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
                                                   (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]:
        for block in range(repeats):
            y, inner = x, channels * expand
            if expand > 1:
                y = b.silu(b.batch_norm(b.conv(y, channels, inner), inner))
            y = b.conv(y, inner, inner, kernel, stride if not block else 1, group=inner)
            y = squeeze_excite(b, b.silu(b.batch_norm(y, inner)), inner, channels // 4)
            y = b.batch_norm(b.conv(y, inner, width), width)
            x = b.node("Add", y, x) if block else y
            channels = width
    x = b.silu(b.batch_norm(b.conv(x, channels, 1280), 1280))
    b.output(b.classifier(x, 1280, 1000), 1000)
    return b.model()


def layer_norm(b, x, width):
    scale, shift = 1 + b.random.standard_normal(width) * 0.1, b.random.standard_normal(width) * 0.1
    return b.node("LayerNormalization", x, b.constant(scale), b.constant(shift), axis=-1, epsilon=1e-12)


def bert_base(layers=6, tokens=128, width=768, heads=12):
    """Devlin et al. 2018, from the embeddings on, without a mask."""
    b = Network("bert_base_6", [tokens, width])
    split, merged = b.constant([0, tokens, heads, width // heads], np.int64), b.constant([0, tokens, width], np.int64)
    x = layer_norm(b, "input", width)
    for _ in range(layers):
        q, k, v = (b.node("Reshape", b.dense(x, width, width, 1.0), split) for _ in range(3))
        q, v = (b.node("Transpose", y, perm=[0, 2, 1, 3]) for y in (q, v))
        scores = b.node("Div", b.node("MatMul", q, b.node("Transpose", k, perm=[0, 2, 3, 1])), b.constant((width / heads)**0.5))
        context = b.node("MatMul", b.node("Softmax", scores, axis=-1), v)
        context = b.node("Reshape", b.node("Transpose", context, perm=[0, 2, 1, 3]), merged)
        x = layer_norm(b, b.node("Add", b.dense(context, width, width, 1.0), x), width)
        y = b.dense(x, width, 4 * width)
        y = b.node("Mul", y, b.node("Add", b.node("Erf", b.node("Div", y, b.constant(2**0.5))), b.constant(1)))
        y = b.dense(b.node("Mul", y, b.constant(0.5)), 4 * width, width)
        x = layer_norm(b, b.node("Add", y, x), width)
    b.output(x, tokens, width)
    return b.model()


def yolo(size=320):
    """The shape of YOLOv5s: cross-stage backbone, pooling pyramid, top-down and bottom-up neck, three heads."""
    b = Network("yolo", [3, size, size])

    def conv(x, channels_in, channels, kernel=1, stride=1):
        return b.silu(b.batch_norm(b.conv(x, channels_in, channels, kernel, stride), channels))

    def cross_stage(x, channels_in, channels, repeats, shortcut=True):
        half = channels // 2
        y, z = conv(x, channels_in, half), conv(x, channels_in, half)
        for _ in range(repeats):
            inner = conv(conv(y, half, half), half, half, 3)
            y = b.node("Add", y, inner) if shortcut else inner
        return conv(b.node("Concat", y, z, axis=1), channels, channels)

    def upsample(x):
        return b.node("Resize", x, "", b.constant([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric")

    x = conv("input", 3, 32, 6, 2)
    x = cross_stage(conv(x, 32, 64, 3, 2), 64, 64, 1)
    p3 = x = cross_stage(conv(x, 64, 128, 3, 2), 128, 128, 2)
    p4 = x = cross_stage(conv(x, 128, 256, 3, 2), 256, 256, 3)
    x = cross_stage(conv(x, 256, 512, 3, 2), 512, 512, 1)
    pyramid = [conv(x, 512, 256)]
    for _ in range(3):
        pyramid.append(b.node("MaxPool", pyramid[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2, 2, 2, 2]))
    top = conv(conv(b.node("Concat", *pyramid, axis=1), 1024, 512), 512, 256)
    middle = conv(cross_stage(b.node("Concat", upsample(top), p4, axis=1), 512, 256, 1, False), 256, 128)
    n3 = cross_stage(b.node("Concat", upsample(middle), p3, axis=1), 256, 128, 1, False)
    n4 = cross_stage(b.node("Concat", conv(n3, 128, 128, 3, 2), middle, axis=1), 256, 256, 1, False)
    n5 = cross_stage(b.node("Concat", conv(n4, 256, 256, 3, 2), top, axis=1), 512, 512, 1, False)
    for x, channels, stride in ((n3, 128, 8), (n4, 256, 16), (n5, 512, 32)):
        b.output(b.node("Sigmoid", b.conv(x, channels, 255, bias=True, gain=1.0)), 255, size // stride, size // stride)
    return b.model()


def audio_lstm(hidden=256):
    """Keywords in one second at 16 kHz: 1-D convolutions, a bidirectional and a plain LSTM over 100 steps, mean, classes."""
    b = Network("audio_lstm", [1, 16000])

    def lstm(x, width, directions):
        w, r = (b.weight(directions, 4 * hidden, n, fan_in=n, gain=1.0) for n in (width, hidden))
        bias = b.constant(b.random.standard_normal((directions, 8 * hidden)) * 0.1)
        y, _, _ = b.node("LSTM", x, w, r, bias, outputs=3, hidden_size=hidden,
                       direction="bidirectional" if directions == 2 else "forward")
        y = b.node("Transpose", y, perm=[0, 2, 1, 3])  # (steps, N, directions, hidden)
        return b.node("Reshape", y, b.constant([0, 0, directions * hidden], np.int64))

    x = b.relu(b.batch_norm(b.conv("input", 1, 64, 320, 160, rank=1), 64))
    x = b.relu(b.batch_norm(b.conv(x, 64, 128, 5, rank=1), 128))
    x = b.relu(b.batch_norm(b.conv(x, 128, 128, 9, group=128, rank=1), 128))
    x = b.relu(b.batch_norm(b.conv(x, 128, 128, rank=1), 128))
    x = lstm(b.node("Transpose", x, perm=[2, 0, 1]), 128, 2)
    x = lstm(x, 2 * hidden, 1)
    b.output(b.dense(b.node("ReduceMean", x, axes=[0], keepdims=0), hidden, 35, 1.0), 35)
    return b.model()


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/bench-networks"
    folder.mkdir(parents=True, exist_ok=True)
    for make in (resnet50, efficientnet_b0, bert_base, yolo, audio_lstm):
        model = make()
        measure_batch_norms(model)
        onnx.checker.check_model(model, full_check=True)
        path = folder / f"{model.graph.name}.onnx"
        onnx.save(model, str(path))
        print(f"{path}: {len(model.graph.node)} nodes, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

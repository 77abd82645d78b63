"""Every operator of a Q/DQ network gives the integers that ONNX Runtime gives for the same integers: at most one element in
a thousand differs, and by one quantum.

usage: quantized_operators.py AMCT [--isa NAME] [--assets [NETWORK…]] [--theirs]
Each quantized tensor of a network becomes an output. What stands between it and the quantized tensors before it is run in
ONNX Runtime alone, all optimizations on, on the integers that amct computed, so that deviations do not add up.
Small networks made here run every day; --assets takes the networks of the assets as `amct quantize` writes them, and with
--theirs also as ONNX Runtime's quantizer writes them.
"""

import argparse
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

SEED = 11
BOUND = 1e-3  # share of the elements of a network that may differ, each by one quantum
NETWORKS = {
    "mobilenet_v1_025": (1, 3, 224, 224),
    "mobilenet_v2": (1, 3, 224, 224),
    "resnet8_cifar10": (1, 3, 32, 32),
    "mnist_cntk": (1, 1, 28, 28),
    "vnn_cifar10_resnet_4b": (1, 3, 32, 32),
    "ultraface_rfb320_simplified": (1, 3, 240, 320),
    "nanodet_m": (1, 3, 416, 416),
    "vnn_oval21_cifar_base_kw": (1, 3, 32, 32),
}


def session(model):
    options = ort.SessionOptions()
    if any(node.op_type == "Softmax" for node in model.graph.node):
        # Its softmax of integers takes 1 / y_scale rounded down to an integer; in floats it computes what the file says.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Network:
    """A Q/DQ model and the parts between its quantized tensors."""

    def __init__(self, path):
        self.model = onnx.load(str(path))
        graph = self.model.graph
        self.producers = {output: node for node in graph.node for output in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [v.name for v in graph.input if v.name not in self.constants]
        self.quantized = [n.output[0] for n in graph.node if n.op_type == "QuantizeLinear" and not self.is_constant(n)]

    def is_constant(self, node):
        """True for what is computed from constants alone."""
        return all(not name or name in self.constants or
                   (name in self.producers and self.is_constant(self.producers[name])) for name in node.input)

    def with_outputs(self):
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.graph.output[:]
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in self.quantized)
        return model

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

    def run_part(self, tensor, values):
        """The tensor as ONNX Runtime computes it from `values` of what it reads."""
        nodes, reads = self.part(tensor)
        feed = {name: values[name] for name in reads}
        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feed.items()]
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(nodes, "part", inputs, [helper.make_empty_tensor_value_info(tensor)],
                                  [self.constants[name] for name in sorted(used & self.constants.keys())])
        model = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        kinds = [node.op_type for node in nodes if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
        return session(model).run(None, feed)[0], "+".join(kinds) or "QuantizeLinear"


Count = collections.namedtuple("Count", "elements one more")


def run_ours(amct, network, feed, work):
    """The quantized tensors as amct computes them, and the network's input."""
    onnx.save(network.with_outputs(), str(work / "outputs.onnx"))
    command = [*amct, "--quiet", "run", work / "outputs.onnx", "--out", work / "out"]
    for index, (name, value) in enumerate(feed.items()):
        np.save(work / f"input{index}.npy", value)
        command += ["--input", f"{name}={work / f'input{index}.npy'}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = {path.name: path for path in (work / "out").rglob("*.npy")}
    values = {name: np.load(found[name.replace("/", "_") + ".npy"]) for name in network.quantized}
    return values | feed


def compare(amct, path, feed, by_kind):
    """Elements of all quantized tensors of a network, and how many differ by one quantum and by more."""
    network = Network(path)
    total = np.zeros(3, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        values = run_ours(amct, network, feed, pathlib.Path(folder))
    for tensor in network.quantized:
        theirs, kind = network.run_part(tensor, values)
        distance = np.abs(values[tensor].astype(np.int64) - theirs)
        counts = np.array([distance.size, np.count_nonzero(distance == 1), np.count_nonzero(distance > 1)])
        by_kind[kind] += counts
        total += counts
    return Count(*(int(n) for n in total))


class Builder:
    """Q/DQ networks by hand."""

    def __init__(self, random, opset=17):
        self.random, self.nodes, self.constants, self.opset = random, [], [], opset

    def constant(self, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, op, *inputs, **attrs):
        self.nodes.append(helper.make_node(op, inputs, [f"{op}_{len(self.nodes)}"], **attrs))
        return self.nodes[-1].output[0]

    def round_trip(self, x, scale, zero, dtype=np.uint8):
        parameters = self.constant(np.float32(scale)), self.constant(dtype(zero))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *parameters), *parameters)

    def weight(self, *shape, axis=0):
        values = self.random.integers(-127, 128, shape, dtype=np.int8)
        scales = self.random.uniform(0.5, 1.5, shape[axis]) / 127 / np.sqrt(values.size / shape[axis])
        scales = scales.astype(np.float32)
        return self.node("DequantizeLinear", self.constant(values), self.constant(scales),
                         self.constant(np.zeros(shape[axis], np.int8)), axis=axis), scales

    def bias(self, x_scale, scales):
        values = self.random.integers(-2000, 2000, scales.size, dtype=np.int32)
        return self.node("DequantizeLinear", self.constant(values), self.constant(np.float32(x_scale) * scales),
                         self.constant(np.zeros(scales.size, np.int32)), axis=0)

    def model(self, shape):
        graph = helper.make_graph(self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_empty_tensor_value_info(self.nodes[-1].output[0])], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def convolutional(random):
    """Convolutions of all kinds, residual sums, pools, concatenation, activations and a classifier."""
    b = Builder(random)

    def conv(x, x_scale, inputs, outputs, kernel, scale, zero, limit=None, **attrs):
        w, scales = b.weight(outputs, inputs // attrs.get("group", 1), kernel, kernel)
        y = b.node("Conv", x, w, b.bias(x_scale, scales), pads=[kernel // 2] * 4, **attrs)
        return b.round_trip(b.node(limit, y) if limit else y, scale, zero)

    x = b.round_trip("x", 0.031, 128)
    first = conv(x, 0.031, 3, 24, 3, 0.017, 0, "Relu", strides=[2, 2])
    depthwise = conv(first, 0.017, 24, 24, 3, 0.013, 0, "Relu", group=24)
    second = conv(depthwise, 0.013, 24, 24, 1, 0.021, 119)
    total = b.round_trip(b.node("Add", first, second), 0.023, 90)
    gate = b.round_trip(b.node("Sigmoid", total), 1 / 256, 0)
    swish = b.round_trip(b.node("Mul", total, gate), 0.0187, 12)
    pooled = b.round_trip(b.node("AveragePool", swish, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 0.01493, 11)
    hard = b.round_trip(b.node("HardSwish", pooled), 0.012, 30)
    joined = b.round_trip(b.node("Concat", pooled, hard, axis=1), 0.01493, 11)
    mean = b.round_trip(b.node("GlobalAveragePool", joined), 0.01, 20)
    flat = b.node("Flatten", mean)
    w, scales = b.weight(48, 10, axis=1)
    b.round_trip(b.node("Gemm", flat, w, b.bias(0.01, scales)), 0.02, 128)
    return b.model([2, 3, 65, 63]), {"x": random.standard_normal((2, 3, 65, 63)).astype(np.float32)}


def attention(random):
    """Products of matrices, with constant and with computed operands."""
    b = Builder(random)
    x = b.round_trip("x", 0.03, 125)
    key = b.round_trip(b.node("MatMul", x, b.weight(48, 64, axis=1)[0]), 0.04, 127)
    query = b.round_trip(b.node("MatMul", x, b.weight(48, 64, axis=1)[0]), 0.04, 130)
    transposed = b.node("Transpose", key, perm=[0, 2, 1])
    scores = b.round_trip(b.node("MatMul", query, transposed), 0.3, 128)
    b.round_trip(b.node("MatMul", b.round_trip(b.node("Tanh", scores), 1 / 128, 128), x), 0.1, 128)
    return b.model([2, 31, 48]), {"x": random.standard_normal((2, 31, 48)).astype(np.float32)}


def made_networks(work, random):
    for make in (convolutional, attention):
        model, feed = make(random)
        onnx.save(model, str(work / f"{make.__name__}.onnx"))
        yield make.__name__, work / f"{make.__name__}.onnx", feed


def their_quantizer(path, samples, work):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(CalibrationDataReader):
        def __init__(self, name):
            self.items = iter({name: sample[np.newaxis]} for sample in samples)

        def get_next(self):
            return next(self.items, None)

    model = onnx.load(str(path))
    if model.opset_import[0].version < 13:  # below, its files of scales per channel are invalid
        model = onnx.version_converter.convert_version(model, 13)
    prepared, theirs = work / "prepared.onnx", work / "theirs.onnx"
    quant_pre_process(model, str(prepared))
    name = ort.InferenceSession(str(prepared), providers=["CPUExecutionProvider"]).get_inputs()[0].name
    quantize_static(str(prepared), str(theirs), Samples(name), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return theirs


def asset_networks(amct, names, theirs, work, random):
    assets = assets_or_exit()
    for name in names or NETWORKS:
        shape = NETWORKS[name]
        path = assets / "onnx" / f"{name}.onnx"
        samples = random.standard_normal((8, *shape[1:])).astype(np.float32)
        np.save(work / "samples.npy", samples)
        command = [*amct, "--quiet", "quantize", path, "--data", work / "samples.npy", "--out", work / name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        files = {"amct": work / f"{name}_qdq.onnx"}
        if theirs:
            try:
                files["ONNX Runtime"] = their_quantizer(path, samples, work)
            except Exception as error:  # of its own
                print(f"{name}: ONNX Runtime's quantizer fails: {error}", flush=True)
        for quantizer, file in files.items():
            yield f"{name}, quantized by {quantizer}", file, {Network(file).inputs[0]: samples[:1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("amct")
    parser.add_argument("--isa")
    parser.add_argument("--assets", nargs="*", default=None)
    parser.add_argument("--theirs", action="store_true")
    arguments = parser.parse_args()
    amct = [arguments.amct, *(["--isa", arguments.isa] if arguments.isa else [])]
    random = np.random.default_rng(SEED)
    by_kind = collections.defaultdict(lambda: np.zeros(3, np.int64))
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        networks = (made_networks(work, random) if arguments.assets is None else
                    asset_networks(amct, arguments.assets, arguments.theirs, work, random))
        for name, path, feed in networks:
            count = compare(amct, path, feed, by_kind)
            print(f"{name}: {count.elements} elements, {count.one} differ by one quantum ({count.one / count.elements:.1e}), "
                  f"{count.more} by more", flush=True)
            if count.one > BOUND * count.elements or count.more > 0 or count.elements == 0:
                wrong.append(name)
    print("\nby operator: elements, one quantum, more")
    for kind, counts in sorted(by_kind.items(), key=lambda item: -item[1][1:].sum()):
        print(f"{kind:40} {counts[0]:10} {counts[1]:8} {counts[2]:6}")
    totals = sum(by_kind.values())
    print(f"{'all':40} {totals[0]:10} {totals[1]:8} {totals[2]:6}")
    if wrong:
        sys.exit(f"seed {SEED}: more than {BOUND:.1%} of the elements differ, or by more than a quantum: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

"""Models that other quantizers wrote, through `amct convert`: the layers that become integer, and how far the fake-quant model's
outputs lie from the quantized model's, both in ONNX Runtime node by node. Prints Markdown.

Each quantizer is asked for what its documentation shows, on random inputs; most need packages of their own, so that they are named
one by one: onnxruntime (bench/requirements.txt); nncf (nncf==3.4.0); pytorch (torch==2.15.0); tflite (tensorflow-cpu==2.21.0
tf2onnx==1.17.0); each with onnx and onnxruntime.

usage: convert_foreign.py QUANTIZER
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import model_data  # noqa: E402

AMCT = ROOT / "build/bin/amct"
SEED = 20261
NETWORKS = ["dtln_1", "mnist_cntk", "mobilenet_v1_025", "mobilenet_v2", "nanodet_m", "resnet8_cifar10",
            "ultraface_rfb320_simplified", "vnn_mnistfc_256x4"]


def random_feeds(path, count):
    rng = np.random.default_rng(SEED)
    dims = model_data.inputs_of(path)
    return [{name: rng.standard_normal(extents).astype(np.float32) for name, extents in dims.items()} for _ in range(count)]


def at_opset_13(name):
    """The quantizers want opset 13. There an empty constant for an optional input is wrong, and Resize has one at opset 11."""
    model = onnx.version_converter.convert_version(onnx.load(str(model_data.model(name).path)), 13)
    empty = {item.name for item in model.graph.initializer if 0 in item.dims}
    for node in model.graph.node:
        if node.op_type == "Constant" and 0 in node.attribute[0].t.dims:
            empty.add(node.output[0])
    for node in model.graph.node:
        node.input[:] = ["" if node.op_type == "Resize" and item in empty else item for item in node.input]
    return model


def of_onnxruntime(work):
    """Per channel, uint8 activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self, path):
            self.items = iter(random_feeds(path, 8))

        def get_next(self):
            return next(self.items, None)

    for name in NETWORKS:
        prepared, out = work / f"{name}_prepared.onnx", work / f"{name}.onnx"
        quant_pre_process(at_opset_13(name), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(out), Reader(prepared), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        yield name, out


def of_nncf(work):
    import nncf

    for name in NETWORKS:
        source, model = model_data.model(name).path, at_opset_13(name)
        for preset in (nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED):
            out = work / f"{name}_{preset.value}.onnx"
            onnx.save(nncf.quantize(model, nncf.Dataset(random_feeds(source, 8)), preset=preset), str(out))
            yield f"{name}, {preset.value}", out


def of_pytorch(work):
    """Fake quantization as quantization-aware training leaves it, through PyTorch's own exporter: 8 and 7 bits."""
    import torch
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver

    class Layer(torch.nn.Module):
        def __init__(self, layer, high, after=None):
            super().__init__()
            self.layer, self.after = layer, after
            self.input = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=high, dtype=torch.quint8)
            self.weight = FakeQuantize(MovingAveragePerChannelMinMaxObserver, quant_min=-128, quant_max=127,
                                       dtype=torch.qint8, qscheme=torch.per_channel_symmetric, ch_axis=0)

        def forward(self, x):
            x, weight = self.input(x), self.weight(self.layer.weight)
            if isinstance(self.layer, torch.nn.Linear):
                x = torch.nn.functional.linear(x, weight, self.layer.bias)
            else:
                x = self.layer._conv_forward(x, weight, self.layer.bias)
            return self.after(x) if self.after else x

    for bits in (8, 7):
        torch.manual_seed(SEED)
        high = 2**bits - 1
        network = torch.nn.Sequential(
            Layer(torch.nn.Conv2d(3, 12, 3, stride=2, padding=1), high, torch.nn.ReLU()),
            Layer(torch.nn.Conv2d(12, 12, 3, padding=1, groups=12), high, torch.nn.ReLU()),
            Layer(torch.nn.Conv2d(12, 20, 1), high, torch.nn.ReLU()),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), Layer(torch.nn.Linear(20, 7), high))
        with torch.no_grad():
            for _ in range(8):
                network(torch.randn(2, 3, 31, 29))
        network.eval()
        network.apply(torch.ao.quantization.disable_observer)
        out = work / f"pytorch_{bits}.onnx"
        torch.onnx.export(network, torch.randn(1, 3, 31, 29), str(out), opset_version=13, dynamo=False)
        yield f"convolutions and a Linear, {bits} bits", out


def of_tflite(work):
    """Keras to TensorFlow Lite with integer weights and activations, float inputs and outputs, through tf2onnx."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    network = tf.keras.Sequential([
        layers.Input((31, 29, 3), batch_size=1), layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu6"), layers.Conv2D(20, 1, activation="relu"),
        layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(7)])
    rng = np.random.default_rng(SEED)
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([rng.standard_normal((1, 31, 29, 3)).astype(np.float32)] for _ in range(8))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    tflite, out = work / "network.tflite", work / "tflite.onnx"
    tflite.write_bytes(converter.convert())
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", "--tflite", tflite, "--opset", "13", "--output", out],
                   check=True, capture_output=True)
    yield "convolutions and a Dense", out


def plain_session(path):
    """The nodes one by one: ONNX Runtime's own integer kernels round differently."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def differences(path, fake):
    """SQNR of the outputs in dB and the largest difference of an output by its range, over random inputs."""
    original, converted = plain_session(path), plain_session(fake)
    signal = noise = worst = 0.0
    for feeds in random_feeds(path, 4):
        for ours, theirs in zip(converted.run(None, feeds), original.run(None, feeds)):
            error = ours.astype(np.float64) - theirs
            signal, noise = signal + np.sum(theirs.astype(np.float64) ** 2), noise + np.sum(error**2)
            worst = max(worst, float(np.max(np.abs(error)) / max(np.ptp(theirs), 1e-30)))
    return f"{10 * np.log10(signal / noise):.0f}" if noise else "equal", f"{worst:.1g}"


QUANTIZERS = {"onnxruntime": of_onnxruntime, "nncf": of_nncf, "pytorch": of_pytorch, "tflite": of_tflite}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("quantizer", choices=QUANTIZERS)
    quantizer = parser.parse_args().quantizer
    print(f"| {quantizer} | integer layers | SQNR dB | largest difference / range |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="amct-bench-") as folder:
        work = pathlib.Path(folder)
        for name, path in QUANTIZERS[quantizer](work):
            done = subprocess.run([AMCT, "convert", path, "--out", work / "c" / path.stem, "--json"],
                                  capture_output=True, text=True)
            if done.returncode:
                print(f"| {name} | refused: {done.stderr.strip().splitlines()[0]} | | |", flush=True)
                continue
            report = json.loads(done.stdout)
            fake = work / "c" / f"{path.stem}_fake_quant_model.onnx"
            print(f"| {name} | {report['quantized']} of {report['layers']} | {' | '.join(differences(path, fake))} |", flush=True)


main()

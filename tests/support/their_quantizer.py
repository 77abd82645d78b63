"""ONNX Runtime's own quantizer: the other side of comparisons."""

import pathlib
import tempfile

import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

onnxruntime.set_default_logger_severity(4)


class Feeds(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def quantize(source, target, feeds, **options):
    """The model as it is, as a Q/DQ file."""
    quantize_static(str(source), str(target), Feeds(feeds), quant_format=QuantFormat.QDQ, **options)


def at_opset_13(path):
    """A model raised: below, the quantizer's files of scales per channel are invalid. At 13 an empty constant for an optional
    input of Resize, which opset 11 wants, is wrong."""
    model = onnx.load(str(path))
    if model.opset_import[0].version >= 13:
        return model
    model = onnx.version_converter.convert_version(model, 13)
    empty = {item.name for item in model.graph.initializer if 0 in item.dims}
    empty |= {node.output[0] for node in model.graph.node
              if node.op_type == "Constant" and 0 in next(iter(node.attribute)).t.dims}
    for node in model.graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]
    return model


def prepare_and_quantize(source, target, feeds, symbolic_shapes=False):
    """As its documentation says: the model prepared, uint8 activations, int8 weights with a scale for each channel.
    `symbolic_shapes` needs sympy."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = pathlib.Path(folder) / "prepared.onnx"
        quant_pre_process(at_opset_13(source), str(prepared), skip_symbolic_shape=not symbolic_shapes)
        quantize(prepared, target, feeds, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)

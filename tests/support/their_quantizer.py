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


def prepare_and_quantize(source, target, feeds, symbolic_shapes=False):
    """As its documentation says: the model prepared, uint8 activations, int8 weights with a scale for each channel.
    `symbolic_shapes` needs sympy. Below opset 13 its files of scales per channel are invalid: the model is raised."""
    model = onnx.load(str(source))
    if model.opset_import[0].version < 13:
        model = onnx.version_converter.convert_version(model, 13)
    with tempfile.TemporaryDirectory() as folder:
        prepared = pathlib.Path(folder) / "prepared.onnx"
        quant_pre_process(model, str(prepared), skip_symbolic_shape=not symbolic_shapes)
        quantize(prepared, target, feeds, per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)

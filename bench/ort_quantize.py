"""ONNX Runtime's own quantizer as its documentation uses it: preprocess the model, calibrate with min-max, write a
QDQ file with uint8 activations and per-channel int8 weights.

usage: ort_quantize.py NETWORK OUT.onnx IMAGE...
"""

import pathlib
import sys
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import networks


class Images(CalibrationDataReader):
    def __init__(self, network, files, input_name):
        self.items = iter({input_name: network.pixels(f)[np.newaxis]} for f in files)

    def get_next(self):
        return next(self.items, None)


def main():
    network = next(n for n in networks.NETWORKS if n.name == sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(pathlib.Path(folder) / "prepared.onnx")
        quant_pre_process(networks.load_for_per_channel(network.path), prepared)
        session = onnxruntime.InferenceSession(prepared, providers=["CPUExecutionProvider"])
        reader = Images(network, sys.argv[3:], session.get_inputs()[0].name)
        del session
        quantize_static(prepared, sys.argv[2], reader, quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


main()

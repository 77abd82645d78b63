"""ONNX Runtime's own quantizer as its documentation uses it: preprocess the model, calibrate with min-max, write a
QDQ file with uint8 activations and per-channel int8 weights.

usage: ort_quantize.py NETWORK OUT.onnx IMAGE...
"""

import sys

import numpy as np

import networks
from support.model_data import inputs_of
from support.their_quantizer import prepare_and_quantize


def main():
    network = next(n for n in networks.NETWORKS if n.name == sys.argv[1])
    name, = inputs_of(network.path)
    feeds = ({name: network.pixels(image)[np.newaxis]} for image in sys.argv[3:])
    prepare_and_quantize(network.path, sys.argv[2], feeds, symbolic_shapes=True)


main()

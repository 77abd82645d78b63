// 4-bit weights, and biases beside 4-bit activations, of Ascend deploy files.
//
// Such a file keeps two of them in one element of an INT8 tensor, along the input channels, whose extent is halved:
// element 2k in the low nibble, 2k + 1 in the high one, two's complement. Nothing in the file says so but the extent,
// so a weight is taken as packed when its layer reads quantized integers with exactly twice its channels, which is no
// valid model otherwise. The graph holds one integer per element; what is written from it holds one per byte.
#pragma once

#include <cstddef>

#include "ir/graph.h"

namespace amct::onnx_file {

// The elements of an int8 tensor taken apart along `axis`, whose extent doubles.
Tensor unpack_int4(const Tensor& packed, size_t axis);

// Replaces the packed weights of a graph that quantizes for Ascend (ascend_quant); any other is left as it is. Types of
// values need not be known yet. Throws Error(kInput) on operators whose inputs do not fit.
void unpack_int4_weights(Graph& graph);

// Takes away the Cast that AMCT puts between the int32 bias of a layer with 4-bit activations and the layer.
void take_casts_off_int4_biases(Graph& graph);

}  // namespace amct::onnx_file

// 4-bit weights of a deploy graph, two in an element of int8, as AMCT writes them (spec C.11.7): along the input
// channels, whose extent is halved, element 2k in the low nibble and 2k + 1 in the high one, two's complement. The
// graph is for writing alone then: its shapes no longer fit. frontends/onnx/int4_weights.h is the way back.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// The elements of an int8 tensor put together along `axis`, whose extent is even.
Tensor packed_int4(const Tensor& integers, size_t axis);

// Puts a Cast to float32 between the int32 bias of a layer with 4-bit activations and the layer (spec C.6); one that is
// added behind a MatMul stays as it is.
void cast_int4_biases(Graph& deploy, const Plan& plan);

// Packs the weights of the quantized layers with 4 bits. Returns a line for each layer whose weights stay one in a
// byte: "fc: its 4-bit weights take a byte each: it has an odd number of inputs".
std::vector<std::string> pack_int4_weights(Graph& deploy, const Plan& plan);

}  // namespace amct

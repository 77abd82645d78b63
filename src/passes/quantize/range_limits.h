// The range that the quantized grid of a value must not leave.
//
// Behind a Clip with constant bounds nothing lies outside them, and a runtime drops the Clip in favour of the
// quantizer's own saturation only if the quantizer cannot produce anything outside either (ONNX Runtime otherwise keeps
// the convolution before it in float). What a ReLU or Clip alone reads need not be told apart outside its bounds: the
// sums of a layer may reach far beyond them.
#pragma once

#include "ir/graph.h"
#include "passes/quantize/clip_search.h"

namespace amct {

// Unlimited unless the value comes from a clip whose bounds are constant (or absent), or only feeds one or a ReLU.
RangeLimits range_limits(const Graph& graph, ValueId value);

}  // namespace amct

// The sliding window of convolutions and pools: attributes as ONNX writes them, and what they come to for given
// extents.
//
// Extent of axis i with input x, effective kernel e = (k - 1) d + 1 and pads b, t:
//   forward     (x + b + t - e) / s + 1, rounded down (up with ceil_mode, but no window starts past the input and pad
//   b) transposed  s (x - 1) + output_padding + e - b - t
// auto_pad stays symbolic until the extents are known: SAME_UPPER and SAME_LOWER give ceil(x / s) (transposed: s x).
#pragma once

#include <cstdint>
#include <span>

#include "ir/graph.h"
#include "kernels/dnnl/kernel.h"
#include "ops/op_row.h"

namespace amct {

struct WindowRule {
  enum class AutoPad { kNone, kSameUpper, kSameLower, kValid };
  Dims kernel, strides, dilations, pads_begin, pads_end;  // one entry per spatial axis
  AutoPad auto_pad = AutoPad::kNone;
  bool ceil_mode = false;
  Dims output_padding, output_shape;  // of a transposed convolution; output_shape is empty if not given
};

// The attributes strides, dilations, pads, auto_pad, ceil_mode, output_padding and output_shape of a node, as far as
// its row has them. Throws Error(kInput) on a wrong number of entries or a value that no window can have.
WindowRule read_window(const Node& node, Dims kernel);

// The attributes that read_window reads, for the rows: strides, dilations, pads, auto_pad.
std::vector<AttrSpec> window_attrs();

// Output extents for concrete spatial input extents; throws Error(kInput) naming the node when a window does not fit.
Dims window_outputs(const Node& node, const WindowRule& rule, std::span<const int64_t> spatial);

// The same on dims that may be unknown: an unknown extent gives an unknown extent.
std::vector<Dim> window_dims(const Node& node, const WindowRule& rule, std::span<const Dim> spatial, bool transposed);

// The window with auto_pad and output_shape resolved to pads. `pads_end` is what the attributes say: ceil_mode may let
// the last window pass it, output_padding may leave elements behind it.
dnn::Window resolve_window(const WindowRule& rule, std::span<const int64_t> spatial, bool transposed);

}  // namespace amct

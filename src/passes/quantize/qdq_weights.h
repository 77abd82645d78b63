// The constants of a quantized layer in a QDQ graph: integers behind a DequantizeLinear, in the forms that the target's
// row says (qdq_targets.h).
//
//   weight  w = scale * q, per output channel, per tensor, or per group of `group` inputs (block_size); q in int8, or
//           for 4 bits in INT4 where the target takes it. ConvTranspose is written as (in, out / group, spatial…), its
//           scales along axis 1; with groups the channels of different groups share an index of that axis, so that
//           the weight is written as the floats that its integers stand for.
//   bias    int32 with scale_x * scale_w where the target takes it and the model is float32, else the float bias.
#pragma once

#include <span>

#include "ir/graph.h"
#include "passes/quantize/qdq_targets.h"
#include "plan/plan.h"

namespace amct {

// The scale as it is stored beside data of `dtype`: float16 scales are rounded, and stay positive.
float stored_scale(float scale, DType dtype);
// A scalar or a list of scales as a constant of `dtype`.
Tensor scale_tensor(const Dims& dims, std::span<const float> scales, DType dtype);

// Replaces weight and bias of a layer of the graph that has a weight and whose input is quantized with `input_scale`.
// Throws Error(kNumeric) naming the layer if its bias leaves int32.
void quantize_layer_constants(Graph& graph, const LayerPlan& layer, float input_scale, const QdqTarget& target);
// Replaces the weight alone, of a layer whose input stays float.
void quantize_layer_weight(Graph& graph, const LayerPlan& layer, const QdqTarget& target);

}  // namespace amct

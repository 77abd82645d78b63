// The constants of a quantized layer: integer weights (spec C.3, groups of inputs besides), integer bias (C.6), packed
// dequantization parameters (E.3). With the scale s_w of a weight, s_d of the activation and offsets of zero for
// weights, a layer computes y = s_d s_w (sum of w_int x_int + b_int), so that
//   w_int = clip(round(w / s_w)),   b_int = round(b / (s_d s_w)),   round half to even
// The same functions serve the deploy file, the simulation and the QDQ file: what one computes the others hold.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/tensor.h"
#include "plan/plan.h"

namespace amct {

// Weights with groups of inputs: the axis of the inputs, and the extents of the scales, which are the weight's with the
// number of groups on that axis (the last group may be smaller).
int group_axis(const Dims& weight, int channel_axis);
Dims group_scale_dims(const Dims& weight, const WeightPlan& plan, int channel_axis);

// clip(round_half_even(w / scale)) as int8 (values of fewer bits too), then the nearest cluster where the plan has
// some. The plan holds one scale, one per index of `axis`, or one per group.
Tensor integer_weights(const Tensor& weights, const WeightPlan& plan, int axis);
// The same, multiplied by the scales again: float32.
Tensor fake_quantized(const Tensor& weights, const WeightPlan& plan, int axis);

// `make(tensor)`, which has type `dtype` and extents `dims` and leaves the tensor as it is (not resident): at once for
// small tensors; a deferred tensor (ir/tensor.h) for large ones, so that a network's quantized weights are never in
// memory all together.
Tensor when_needed(const Tensor& tensor, DType dtype, const Dims& dims, std::function<Tensor(const Tensor&)> make);

// scale_d * scale_w in float32, one per weight scale; `scale_d` alone for a layer without weights.
std::vector<float> dequant_scales(float scale_d, std::span<const float> scales);

// round_half_even(bias / dequant scale) as int32, `channels` values; a single bias value is repeated. Throws
// Error(kNumeric) naming the layer when a value leaves the range of int32 (spec C.6).
Tensor integer_bias(const Tensor& bias, std::span<const float> dequant_scales, int64_t channels,
                    const std::string& layer);

// uint64 words: bits 0-31 the float32 scale, bits 32-39 the weight's offset, bits 40-47 the shift (spec E.3).
// One shift per scale, or none at all.
Tensor dequant_parameters(std::span<const float> dequant_scales, std::span<const int> shifts = {});

}  // namespace amct

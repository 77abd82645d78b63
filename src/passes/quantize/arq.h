// ARQ: weight scales from the extremes (spec C.3, C.0.1), symmetric, per output channel or for the whole tensor.
//   scale = max|w| / 2^(n-1)        if the negative side is strictly larger in magnitude
//   scale = max|w| / (2^(n-1) - 1)  otherwise
// Scales below 2^-23 (dead channels) become 1.
#pragma once

#include <string>
#include <vector>

#include "ir/tensor.h"

namespace amct {

// One scale, or one per index of `channel_axis` of the weight (0 for (out, in, spatial…), 1 for a matrix that is
// multiplied from the right). Throws Error(kNumeric) naming the layer for NaN and infinity, Error(kConfig) unless
// `bits` is 4, 6, 7 or 8.
std::vector<float> arq_scales(const Tensor& weights, int channel_axis, bool per_channel, int bits,
                              const std::string& layer);

// One scale per group of `group` successive indices of `axis` and per index of all other axes, in the order of the
// weight's elements. The same errors.
std::vector<float> arq_group_scales(const Tensor& weights, int axis, int group, int bits, const std::string& layer);

}  // namespace amct

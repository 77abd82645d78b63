// Softmax and log-softmax of float32 along one axis of a dense array seen as (outer, n, inner).
//
//   softmax_i = exp(x_i - m) / s,  log softmax_i = x_i - m - log(s),  m = max x, s = sum exp(x - m)
#pragma once

#include <cstdint>

namespace amct {

// `y` may be `x`. NaN in a run makes the whole run NaN.
void float_softmax(const float* x, float* y, int64_t outer, int64_t n, int64_t inner, bool logarithm);

}  // namespace amct

#include "kernels/simd/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/softmax.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/simd/float_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

// Sums exp(x - m) over a run that is dense in memory, storing the terms in y (if not null).
HWY_INLINE float sum_of_exp(const float* x, float* y, size_t n, float m) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const FloatVec shift = hn::Set(d, m);
  FloatVec sum = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const FloatVec e = exp_all(d, hn::Sub(hn::LoadU(d, x + i), shift));
    if (y != nullptr) hn::StoreU(e, d, y + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)];
    std::fill_n(tail, lanes, -std::numeric_limits<float>::infinity());
    std::memcpy(tail, x + i, (n - i) * sizeof(float));
    const FloatVec e = hn::IfThenElseZero(hn::FirstN(d, n - i), exp_all(d, hn::Sub(hn::Load(d, tail), shift)));
    hn::Store(e, d, tail);
    if (y != nullptr) std::memcpy(y + i, tail, (n - i) * sizeof(float));
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

HWY_INLINE float max_of(const float* x, size_t n) {
  float m = -std::numeric_limits<float>::infinity();
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (n >= lanes) {
    FloatVec best = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) best = hn::Max(best, hn::LoadU(d, x + i));
    m = hn::GetLane(hn::MaxOfLanes(d, best));
  }
  for (; i < n; ++i) m = std::max(m, x[i]);
  return m;
}

void softmax_dense(const float* x, float* y, int64_t outer, int64_t n, bool logarithm) {
  const FloatTag d;
  const auto count = static_cast<size_t>(n);
  for (int64_t o = 0; o < outer; ++o, x += n, y += n) {
    const float m = max_of(x, count);
    const float sum = sum_of_exp(x, logarithm ? nullptr : y, count, m);
    if (logarithm) {
      const FloatVec shift = hn::Set(d, m);
      const FloatVec log_sum = hn::Set(d, std::log(sum));
      map_floats(x, y, count, [&](FloatVec v) HWY_ATTR { return hn::Sub(hn::Sub(v, shift), log_sum); });
    } else {
      const FloatVec divisor = hn::Set(d, sum);
      map_floats(y, y, count, [&](FloatVec v) HWY_ATTR { return hn::Div(v, divisor); });
    }
  }
}

// A strip of neighbouring columns, at most one vector wide, along a strided axis.
HWY_INLINE void softmax_columns(const float* x, float* y, int64_t n, int64_t stride, size_t width, bool logarithm) {
  const FloatTag d;
  const bool whole = width == hn::Lanes(d);
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)] = {};
  const auto load = [&](const float* from) HWY_ATTR {
    if (whole) return hn::LoadU(d, from);
    std::memcpy(lanes, from, width * sizeof(float));
    return hn::Load(d, lanes);
  };
  const auto store = [&](FloatVec v, float* to) HWY_ATTR {
    if (whole) return hn::StoreU(v, d, to);
    hn::Store(v, d, lanes);
    std::memcpy(to, lanes, width * sizeof(float));
  };
  FloatVec m = load(x);
  for (int64_t i = 1; i < n; ++i) m = hn::Max(m, load(x + i * stride));
  FloatVec sum = hn::Zero(d);
  for (int64_t i = 0; i < n; ++i) {
    const FloatVec e = exp_all(d, hn::Sub(load(x + i * stride), m));
    if (!logarithm) store(e, y + i * stride);
    sum = hn::Add(sum, e);
  }
  if (!logarithm) {
    for (int64_t i = 0; i < n; ++i) store(hn::Div(load(y + i * stride), sum), y + i * stride);
    return;
  }
  hn::Store(sum, d, lanes);
  for (size_t k = 0; k < hn::Lanes(d); ++k) lanes[k] = std::log(lanes[k]);
  const FloatVec log_sum = hn::Load(d, lanes);
  for (int64_t i = 0; i < n; ++i) store(hn::Sub(hn::Sub(load(x + i * stride), m), log_sum), y + i * stride);
}

void softmax_runs(const float* x, float* y, int64_t outer, int64_t n, int64_t inner, bool logarithm) {
  if (inner == 1) return softmax_dense(x, y, outer, n, logarithm);
  const auto lanes = static_cast<int64_t>(hn::Lanes(FloatTag()));
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; i += lanes) {
      const int64_t at = o * n * inner + i;
      softmax_columns(x + at, y + at, n, inner, static_cast<size_t>(std::min(lanes, inner - i)), logarithm);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {
HWY_EXPORT(softmax_runs);

void float_softmax(const float* x, float* y, int64_t outer, int64_t n, int64_t inner, bool logarithm) {
  if (outer > 0 && n > 0 && inner > 0) HWY_DYNAMIC_DISPATCH(softmax_runs)(x, y, outer, n, inner, logarithm);
}
}  // namespace amct
#endif

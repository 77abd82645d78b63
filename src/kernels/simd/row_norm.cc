#include "kernels/simd/row_norm.h"

#include <cmath>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/row_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd/float_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

// The sum of f over the row: four vectors side by side, the tail element by element.
template <class F, class G>
HWY_INLINE double sum_of(const float* x, size_t n, F f, G g) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  FloatVec s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = f(s0, hn::LoadU(d, x + i));
    s1 = f(s1, hn::LoadU(d, x + i + lanes));
    s2 = f(s2, hn::LoadU(d, x + i + 2 * lanes));
    s3 = f(s3, hn::LoadU(d, x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) s0 = f(s0, hn::LoadU(d, x + i));
  HWY_ALIGN float sums[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), d, sums);
  double sum = 0;
  for (size_t lane = 0; lane < lanes; ++lane) sum += sums[lane];
  for (; i < n; ++i) sum += g(x[i]);
  return sum;
}

void row_norm(const RowNorm& norm, const float* x, float* y, float* mean_out, float* factor_out) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  const auto n = static_cast<size_t>(norm.columns);
  double exact_mean = 0;
  if (norm.centre) {
    exact_mean = sum_of(
        x, n, [](FloatVec sum, FloatVec v) HWY_ATTR { return hn::Add(sum, v); }, [](float v) { return double{v}; });
    exact_mean /= static_cast<double>(n);
  }
  const auto mean = static_cast<float>(exact_mean);
  const FloatVec means = hn::Set(d, mean);
  const double square = sum_of(
      x, n,
      [&](FloatVec sum, FloatVec v) HWY_ATTR {
        const FloatVec difference = hn::Sub(v, means);
        return hn::MulAdd(difference, difference, sum);
      },
      [&](float v) {
        const double difference = v - mean;
        return difference * difference;
      });
  const auto factor = static_cast<float>(1 / std::sqrt(square / static_cast<double>(n) + norm.epsilon));
  const FloatVec factors = hn::Set(d, factor);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const FloatVec normal = hn::Mul(hn::Sub(hn::LoadU(d, x + i), means), factors);
    const FloatVec scale = hn::LoadU(d, norm.scale + i);
    const FloatVec bias = norm.bias != nullptr ? hn::LoadU(d, norm.bias + i) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(normal, scale, bias), d, y + i);
  }
  for (; i < n; ++i) {
    y[i] = std::fma((x[i] - mean) * factor, norm.scale[i], norm.bias != nullptr ? norm.bias[i] : 0.0f);
  }
  if (mean_out != nullptr) *mean_out = mean;
  if (factor_out != nullptr) *factor_out = factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {
HWY_EXPORT(row_norm);

void float_row_norm(const RowNorm& norm, const float* x, float* y, float* mean, float* factor) {
  HWY_DYNAMIC_DISPATCH(row_norm)(norm, x, y, mean, factor);
}
}  // namespace amct
#endif

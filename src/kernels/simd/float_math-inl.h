// Vector functions shared by the float kernels; compiled once per instruction set (see Highway's foreach_target).
#if defined(AMCT_KERNELS_SIMD_FLOAT_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMCT_KERNELS_SIMD_FLOAT_MATH_INL_H_
#undef AMCT_KERNELS_SIMD_FLOAT_MATH_INL_H_
#else
#define AMCT_KERNELS_SIMD_FLOAT_MATH_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;
using FloatVec = hn::Vec<FloatTag>;

// Comparisons with NaN are false, so that NaN passes; the maximum and minimum instructions differ between processors.
HWY_INLINE FloatVec at_least(FloatVec x, FloatVec low) { return hn::IfThenElse(hn::Lt(x, low), low, x); }
HWY_INLINE FloatVec at_most(FloatVec x, FloatVec high) { return hn::IfThenElse(hn::Gt(x, high), high, x); }

// Highway's Exp holds up to 104 (infinity in float) and turns NaN into 0.
HWY_INLINE FloatVec exp_all(FloatTag d, FloatVec x) {
  const FloatVec y = hn::Exp(d, at_most(x, hn::Set(d, 104.0f)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

HWY_INLINE FloatVec sigmoid_of(FloatTag d, FloatVec x) {
  const FloatVec one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_all(d, hn::Neg(x))));
}

HWY_INLINE FloatVec tanh_of(FloatTag d, FloatVec x) {
  const FloatVec limit = hn::Set(d, 10.0f);  // tanh is 1 in float from 9.01 on
  const FloatVec inside = at_least(at_most(x, limit), hn::Neg(limit));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, inside));
}

// max(x, 0) + log(1 + e^-|x|)
HWY_INLINE FloatVec softplus_of(FloatTag d, FloatVec x) {
  const FloatVec tail = hn::Log1p(d, exp_all(d, hn::Neg(hn::Abs(x))));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Add(at_least(x, hn::Zero(d)), tail));
}

HWY_INLINE FloatVec elu_of(FloatTag d, FloatVec x, FloatVec alpha, FloatVec beta) {
  const FloatVec zero = hn::Zero(d);
  const FloatVec below = hn::Mul(alpha, hn::Expm1(d, at_most(x, zero)));
  return hn::Mul(beta, hn::IfThenElse(hn::Lt(x, zero), below, x));
}

// Stores f of n floats; the tail goes through a full vector, so that it is computed alike.
template <class F>
HWY_INLINE void map_floats(const float* x, float* y, size_t n, F f) {
  const FloatTag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(tail, x + i, (n - i) * sizeof(float));
  hn::Store(f(hn::Load(d, tail)), d, tail);
  std::memcpy(y + i, tail, (n - i) * sizeof(float));
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

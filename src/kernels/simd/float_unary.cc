#include "kernels/simd/float_unary.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/float_unary.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/simd/float_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

HWY_INLINE FloatVec erf_of(FloatTag d, FloatVec x) {
  const FloatVec magnitude = hn::Abs(x);
  const FloatVec square = hn::Mul(x, x);
  FloatVec p = hn::Set(d, -5.654105860e-04f);
  p = hn::MulAdd(p, square, hn::Set(d, 4.923277665e-03f));
  p = hn::MulAdd(p, square, hn::Set(d, -2.671638510e-02f));
  p = hn::MulAdd(p, square, hn::Set(d, 1.128036441e-01f));
  p = hn::MulAdd(p, square, hn::Set(d, -3.761234978e-01f));
  p = hn::MulAdd(p, square, hn::Set(d, 1.128379127e+00f));
  const FloatVec a = at_most(magnitude, hn::Set(d, 4.0f));
  FloatVec q = hn::Set(d, 1.330939038e-05f);
  q = hn::MulAdd(q, a, hn::Set(d, -3.175720344e-04f));
  q = hn::MulAdd(q, a, hn::Set(d, 3.436867597e-03f));
  q = hn::MulAdd(q, a, hn::Set(d, -2.262198592e-02f));
  q = hn::MulAdd(q, a, hn::Set(d, 1.033189800e-01f));
  q = hn::MulAdd(q, a, hn::Set(d, 6.390933195e-01f));
  q = hn::MulAdd(q, a, hn::Set(d, 1.125925949e+00f));
  q = hn::MulAdd(q, a, hn::Set(d, 7.569686285e-04f));
  const FloatVec outer = hn::Sub(hn::Set(d, 1.0f), exp_all(d, hn::Neg(q)));
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 1.0f)), hn::Mul(x, p), hn::CopySign(outer, x));
}

// x tanh(log(1 + e^x)) = x n / (n + 2) with n = e^x (e^x + 2).
HWY_INLINE FloatVec mish_of(FloatTag d, FloatVec x) {
  const FloatVec two = hn::Set(d, 2.0f);
  const FloatVec large = hn::Set(d, 20.0f);
  const FloatVec e = exp_all(d, at_most(x, large));
  const FloatVec n = hn::Mul(e, hn::Add(e, two));
  return hn::IfThenElse(hn::Gt(x, large), x, hn::Mul(x, hn::Div(n, hn::Add(n, two))));
}

HWY_INLINE FloatVec swish_of(FloatTag d, FloatVec x, FloatVec alpha) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp_all(d, hn::Neg(hn::Mul(alpha, x)))));
}

HWY_INLINE FloatVec gelu_tanh_of(FloatTag d, FloatVec x) {
  const FloatVec cube = hn::Mul(hn::Mul(x, x), x);
  const FloatVec inner = hn::Mul(hn::Set(d, 0.7978845608f), hn::MulAdd(hn::Set(d, 0.044715f), cube, x));
  return hn::Mul(hn::Mul(hn::Set(d, 0.5f), x), hn::Add(hn::Set(d, 1.0f), tanh_of(d, inner)));
}

void map_exponential(FloatUnary function, const float* x, float* y, size_t n, float alpha, float beta) {
  const FloatTag d;
  const FloatVec one = hn::Set(d, 1.0f);
  const FloatVec half = hn::Set(d, 0.5f);
  const FloatVec a = hn::Set(d, alpha);
  const FloatVec b = hn::Set(d, beta);
  switch (function) {
    case FloatUnary::kExp: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return exp_all(d, v); });
    case FloatUnary::kErf: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return erf_of(d, v); });
    case FloatUnary::kElu: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return elu_of(d, v, a, b); });
    case FloatUnary::kTanh: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return tanh_of(d, v); });
    case FloatUnary::kMish: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return mish_of(d, v); });
    case FloatUnary::kSoftplus: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return softplus_of(d, v); });
    case FloatUnary::kGeluTanh: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return gelu_tanh_of(d, v); });
    case FloatUnary::kSigmoid: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return sigmoid_of(d, v); });
    case FloatUnary::kSwish: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return swish_of(d, v, a); });
    case FloatUnary::kGeluErf:
      return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR {
        const FloatVec erf = erf_of(d, hn::Mul(v, hn::Set(d, 0.7071067812f)));
        return hn::Mul(hn::Mul(half, v), hn::Add(one, erf));
      });
    default: return;
  }
}

void map_simple(FloatUnary function, const float* x, float* y, size_t n, float alpha, float beta) {
  const FloatTag d;
  const FloatVec zero = hn::Zero(d);
  const FloatVec one = hn::Set(d, 1.0f);
  const FloatVec a = hn::Set(d, alpha);
  const FloatVec b = hn::Set(d, beta);
  switch (function) {
    case FloatUnary::kAbs: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Abs(v); });
    case FloatUnary::kNeg: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Neg(v); });
    case FloatUnary::kSqrt: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Sqrt(v); });
    case FloatUnary::kReciprocal: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Div(one, v); });
    case FloatUnary::kFloor: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Floor(v); });
    case FloatUnary::kCeil: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Ceil(v); });
    case FloatUnary::kRound: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return hn::Round(v); });
    case FloatUnary::kClip: return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR { return at_most(at_least(v, a), b); });
    case FloatUnary::kLeakyRelu:
      return map_floats(x, y, n,
                        [&](FloatVec v) HWY_ATTR { return hn::IfThenElse(hn::Lt(v, zero), hn::Mul(a, v), v); });
    case FloatUnary::kHardSigmoid:
      return map_floats(x, y, n,
                        [&](FloatVec v) HWY_ATTR { return at_most(at_least(hn::MulAdd(a, v, b), zero), one); });
    case FloatUnary::kHardSwish:
      return map_floats(x, y, n, [&](FloatVec v) HWY_ATTR {
        const FloatVec gate = hn::MulAdd(v, hn::Set(d, 1.0f / 6), hn::Set(d, 0.5f));
        return hn::Mul(v, at_most(at_least(gate, zero), one));
      });
    default: return map_exponential(function, x, y, n, alpha, beta);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {
HWY_EXPORT(map_simple);

void float_unary(FloatUnary function, const float* x, float* y, size_t n, float alpha, float beta) {
  HWY_DYNAMIC_DISPATCH(map_simple)(function, x, y, n, alpha, beta);
}
}  // namespace amct
#endif

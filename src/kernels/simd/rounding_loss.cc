#include "kernels/simd/rounding_loss.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/rounding_loss.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums term(x, weight) over all elements: two accumulators hide the latency of the additions.
template <class Term, class TermOne>
double sum_terms(const double* x, const double* weight, size_t count, const Term& term, const TermOne& term_one) {
  const hn::ScalableTag<double> d;
  const size_t lanes = hn::Lanes(d);
  auto even = hn::Zero(d), odd = hn::Zero(d);
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    even = hn::MulAdd(hn::LoadU(d, weight + i), term(hn::LoadU(d, x + i)), even);
    odd = hn::MulAdd(hn::LoadU(d, weight + i + lanes), term(hn::LoadU(d, x + i + lanes)), odd);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < count; ++i) sum += weight[i] * term_one(x[i]);
  return sum;
}

double loss_integral(const double* x, const double* c, size_t count, double inv_step) {
  const hn::ScalableTag<double> d;
  const auto inv = hn::Set(d, inv_step);
  const auto twelfth = hn::Set(d, 1.0 / 12), third = hn::Set(d, 1.0 / 3);
  const auto term = [&](auto v) {
    const auto t = hn::Mul(v, inv);
    const auto r = hn::Round(t);
    const auto e = hn::Sub(t, r);
    return hn::MulAdd(r, twelfth, hn::Mul(hn::Mul(e, e), hn::Mul(e, third)));
  };
  const auto term_one = [&](double v) {
    const double t = v * inv_step, r = std::nearbyint(t), e = t - r;
    return r / 12 + e * e * e / 3;
  };
  return sum_terms(x, c, count, term, term_one);
}

double loss_error(const double* x, const double* w, size_t count, double inv_step) {
  const hn::ScalableTag<double> d;
  const auto inv = hn::Set(d, inv_step);
  const auto term = [&](auto v) {
    const auto t = hn::Mul(v, inv);
    const auto e = hn::Sub(t, hn::Round(t));
    return hn::Mul(e, e);
  };
  const auto term_one = [&](double v) {
    const double t = v * inv_step, e = t - std::nearbyint(t);
    return e * e;
  };
  return sum_terms(x, w, count, term, term_one);
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(loss_integral);
HWY_EXPORT(loss_error);

double rounding_integral(const double* x, const double* c, size_t count, double inv_step) {
  return HWY_DYNAMIC_DISPATCH(loss_integral)(x, c, count, inv_step);
}

double rounding_error(const double* x, const double* w, size_t count, double inv_step) {
  return HWY_DYNAMIC_DISPATCH(loss_error)(x, w, count, inv_step);
}

}  // namespace amct
#endif

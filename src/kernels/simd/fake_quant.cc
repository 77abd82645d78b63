#include "kernels/simd/fake_quant.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/fake_quant.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The integer as a float: exact, because |q| < 2^24.
template <class D>
struct Quantizer {
  using V = hn::Vec<D>;
  Quantizer(D d, const QuantizeSpec& spec)
      : inv_scale(hn::Set(d, spec.inv_scale)),
        offset(hn::Set(d, static_cast<float>(spec.offset))),
        low(hn::Set(d, static_cast<float>(spec.low))),
        high(hn::Set(d, static_cast<float>(spec.high))) {}
  V operator()(V x) const {
    const V shifted = hn::Add(hn::Round(hn::Mul(x, inv_scale)), offset);
    return hn::Min(hn::Max(shifted, low), high);
  }
  V inv_scale, offset, low, high;
};

void fake_quantize_all(const float* x, float* y, size_t count, const QuantizeSpec& spec) {
  const hn::ScalableTag<float> d;
  const Quantizer quantizer(d, spec);
  const auto scale = hn::Set(d, spec.scale);
  const auto one = [&](auto v) { return hn::Mul(hn::Sub(quantizer(v), quantizer.offset), scale); };
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(one(hn::LoadU(d, x + i)), d, y + i);
  const hn::CappedTag<float, 1> d1;
  const Quantizer quantizer1(d1, spec);
  for (; i < count; ++i) {
    const auto q = quantizer1(hn::LoadU(d1, x + i));
    hn::StoreU(hn::Mul(hn::Sub(q, quantizer1.offset), hn::Set(d1, spec.scale)), d1, y + i);
  }
}

template <typename Int>
void quantize_as(const float* x, Int* y, size_t count, const QuantizeSpec& spec) {
  const auto run = [&](auto d, size_t i, size_t end) {
    const hn::Rebind<int32_t, decltype(d)> d32;
    const hn::Rebind<Int, decltype(d)> narrow;
    const Quantizer quantizer(d, spec);
    const size_t lanes = hn::Lanes(d);
    for (; i + lanes <= end; i += lanes) {
      const auto q = hn::ConvertTo(d32, quantizer(hn::LoadU(d, x + i)));
      hn::StoreU(hn::DemoteTo(narrow, q), narrow, y + i);
    }
    return i;
  };
  const size_t done = run(hn::ScalableTag<float>(), 0, count);
  run(hn::CappedTag<float, 1>(), done, count);
}

void quantize_int8(const float* x, int8_t* y, size_t count, const QuantizeSpec& spec) {
  quantize_as(x, y, count, spec);
}
void quantize_int16(const float* x, int16_t* y, size_t count, const QuantizeSpec& spec) {
  quantize_as(x, y, count, spec);
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(fake_quantize_all);
HWY_EXPORT(quantize_int8);
HWY_EXPORT(quantize_int16);

void fake_quantize(const float* x, float* y, size_t count, const QuantizeSpec& spec) {
  HWY_DYNAMIC_DISPATCH(fake_quantize_all)(x, y, count, spec);
}

void quantize(const float* x, int8_t* y, size_t count, const QuantizeSpec& spec) {
  HWY_DYNAMIC_DISPATCH(quantize_int8)(x, y, count, spec);
}

void quantize(const float* x, int16_t* y, size_t count, const QuantizeSpec& spec) {
  HWY_DYNAMIC_DISPATCH(quantize_int16)(x, y, count, spec);
}

}  // namespace amct
#endif

#include "kernels/simd/quantize_linear.h"

#include <cstring>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/quantize_linear.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The elements beyond the last whole vector, with zeros behind them.
template <typename T>
struct Remainder {
  HWY_ALIGN T values[HWY_MAX_BYTES / sizeof(float)] = {};
  Remainder(const T* x, size_t count) { std::memcpy(values, x, count * sizeof(T)); }
};

// Calls f(from..., to) for whole vectors, the last one through copies.
template <class D, typename To, class F, typename... From>
HWY_INLINE void each_vector(D d, To* y, size_t count, F f, const From*... x) {
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) f(x + i..., y + i);
  if (i == count) return;
  HWY_ALIGN To to[HWY_MAX_BYTES / sizeof(float)];
  f(Remainder<From>(x + i, count - i).values..., to);
  std::memcpy(y + i, to, (count - i) * sizeof(To));
}

template <typename T>
HWY_INLINE void quantize_as(const float* x, T* y, size_t count, const LinearQuantizer& q) {
  const hn::CappedTag<float, HWY_MAX_BYTES / sizeof(float)> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<T, decltype(d)> narrow;
  const auto scale = hn::Set(d, q.scale);
  const auto zero = hn::Set(d, static_cast<float>(q.zero));
  const auto low = hn::Set(d, static_cast<float>(q.low)), high = hn::Set(d, static_cast<float>(q.high));
  const auto one = [&](const float* from, T* to) HWY_ATTR {
    const auto steps = hn::Add(hn::Round(hn::Div(hn::LoadU(d, from), scale)), zero);
    const auto integers = hn::ConvertTo(d32, hn::Min(hn::Max(steps, low), high));
    hn::StoreU(hn::DemoteTo(narrow, integers), narrow, to);
  };
  each_vector(d, y, count, one, x);
}

template <typename T>
HWY_INLINE void dequantize_as(const T* x, float* y, size_t count, const LinearQuantizer& q) {
  const hn::CappedTag<float, HWY_MAX_BYTES / sizeof(float)> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const auto scale = hn::Set(d, q.scale);
  const auto zero = hn::Set(d, static_cast<float>(q.zero));
  const auto one = [&](const T* from, float* to) HWY_ATTR {
    if constexpr (sizeof(T) == 4) {
      hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::LoadU(d32, from)), scale), d, to);
    } else {
      const hn::Rebind<T, decltype(d)> narrow;
      const auto value = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(narrow, from)));
      hn::StoreU(hn::Mul(hn::Sub(value, zero), scale), d, to);
    }
  };
  each_vector(d, y, count, one, x);
}

template <typename A, typename B, typename T>
HWY_INLINE void add_as(const QuantizedAddend& a, const QuantizedAddend& b, T* y, size_t count,
                       const LinearQuantizer& q) {
  const hn::CappedTag<float, HWY_MAX_BYTES / sizeof(float)> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<T, decltype(d)> narrow;
  const auto value = [&]<typename X>(const X* from, const QuantizedAddend& operand) HWY_ATTR {
    const hn::Rebind<X, decltype(d)> bytes;
    const auto x = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(bytes, from)));
    return hn::Mul(hn::Sub(x, hn::Set(d, operand.zero)), hn::Set(d, operand.scale));
  };
  const auto scale = hn::Set(d, q.scale), zero = hn::Set(d, static_cast<float>(q.zero));
  const auto low = hn::Set(d, static_cast<float>(q.low)), high = hn::Set(d, static_cast<float>(q.high));
  const auto one = [&](const A* x, const B* z, T* to) HWY_ATTR {
    const auto steps = hn::Add(hn::Round(hn::Div(hn::Add(value(x, a), value(z, b)), scale)), zero);
    hn::StoreU(hn::DemoteTo(narrow, hn::ConvertTo(d32, hn::Min(hn::Max(steps, low), high))), narrow, to);
  };
  each_vector(d, y, count, one, static_cast<const A*>(a.data), static_cast<const B*>(b.data));
}

template <typename T>
HWY_INLINE void add_to(const QuantizedAddend& a, const QuantizedAddend& b, T* y, size_t count,
                       const LinearQuantizer& q) {
  if (a.is_signed) {
    b.is_signed ? add_as<int8_t, int8_t>(a, b, y, count, q) : add_as<int8_t, uint8_t>(a, b, y, count, q);
  } else {
    b.is_signed ? add_as<uint8_t, int8_t>(a, b, y, count, q) : add_as<uint8_t, uint8_t>(a, b, y, count, q);
  }
}

void add_s8(const QuantizedAddend& a, const QuantizedAddend& b, int8_t* y, size_t n, const LinearQuantizer& q) {
  add_to(a, b, y, n, q);
}
void add_u8(const QuantizedAddend& a, const QuantizedAddend& b, uint8_t* y, size_t n, const LinearQuantizer& q) {
  add_to(a, b, y, n, q);
}

void quantize_s8(const float* x, int8_t* y, size_t n, const LinearQuantizer& q) { quantize_as(x, y, n, q); }
void quantize_u8(const float* x, uint8_t* y, size_t n, const LinearQuantizer& q) { quantize_as(x, y, n, q); }
void quantize_s16(const float* x, int16_t* y, size_t n, const LinearQuantizer& q) { quantize_as(x, y, n, q); }
void quantize_u16(const float* x, uint16_t* y, size_t n, const LinearQuantizer& q) { quantize_as(x, y, n, q); }
void dequantize_s8(const int8_t* x, float* y, size_t n, const LinearQuantizer& q) { dequantize_as(x, y, n, q); }
void dequantize_u8(const uint8_t* x, float* y, size_t n, const LinearQuantizer& q) { dequantize_as(x, y, n, q); }
void dequantize_s16(const int16_t* x, float* y, size_t n, const LinearQuantizer& q) { dequantize_as(x, y, n, q); }
void dequantize_u16(const uint16_t* x, float* y, size_t n, const LinearQuantizer& q) { dequantize_as(x, y, n, q); }
void dequantize_s32(const int32_t* x, float* y, size_t n, const LinearQuantizer& q) { dequantize_as(x, y, n, q); }

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(add_s8);
HWY_EXPORT(add_u8);
HWY_EXPORT(quantize_s8);
HWY_EXPORT(quantize_u8);
HWY_EXPORT(quantize_s16);
HWY_EXPORT(quantize_u16);
HWY_EXPORT(dequantize_s8);
HWY_EXPORT(dequantize_u8);
HWY_EXPORT(dequantize_s16);
HWY_EXPORT(dequantize_u16);
HWY_EXPORT(dequantize_s32);

template <>
void add_quantized(const QuantizedAddend& a, const QuantizedAddend& b, int8_t* y, size_t count,
                   const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(add_s8)(a, b, y, count, q);
}
template <>
void add_quantized(const QuantizedAddend& a, const QuantizedAddend& b, uint8_t* y, size_t count,
                   const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(add_u8)(a, b, y, count, q);
}
template <>
void quantize_linear(const float* x, int8_t* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(quantize_s8)(x, y, count, q);
}
template <>
void quantize_linear(const float* x, uint8_t* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(quantize_u8)(x, y, count, q);
}
template <>
void quantize_linear(const float* x, int16_t* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(quantize_s16)(x, y, count, q);
}
template <>
void quantize_linear(const float* x, uint16_t* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(quantize_u16)(x, y, count, q);
}
template <>
void dequantize_linear(const int8_t* x, float* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(dequantize_s8)(x, y, count, q);
}
template <>
void dequantize_linear(const uint8_t* x, float* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(dequantize_u8)(x, y, count, q);
}
template <>
void dequantize_linear(const int16_t* x, float* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(dequantize_s16)(x, y, count, q);
}
template <>
void dequantize_linear(const uint16_t* x, float* y, size_t count, const LinearQuantizer& q) {
  HWY_DYNAMIC_DISPATCH(dequantize_u16)(x, y, count, q);
}
template <>
void dequantize_linear(const int32_t* x, float* y, size_t count, const LinearQuantizer& q) {
  AMCT_CHECK(q.zero == 0, "32-bit integers have no zero point here");
  HWY_DYNAMIC_DISPATCH(dequantize_s32)(x, y, count, q);
}

}  // namespace amct
#endif  // HWY_ONCE

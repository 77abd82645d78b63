#include "kernels/simd/int_depthwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/int_depthwise.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE void channels_at(D d32, const int16_t* HWY_RESTRICT x, const int64_t* HWY_RESTRICT offsets, size_t positions,
                            const int16_t* HWY_RESTRICT weights, int64_t channels, int32_t* HWY_RESTRICT sums) {
  const hn::Rebind<int16_t, D> d16;
  auto sum = hn::Zero(d32);
  for (size_t s = 0; s < positions; ++s, weights += channels) {
    const auto value = hn::PromoteTo(d32, hn::LoadU(d16, x + offsets[s]));
    sum = hn::Add(sum, hn::Mul(value, hn::PromoteTo(d32, hn::LoadU(d16, weights))));
  }
  hn::StoreU(sum, d32, sums);
}

void depthwise(const int16_t* x, const int64_t* offsets, size_t positions, const int16_t* weights, int64_t channels,
               int32_t* sums) {
  const hn::CappedTag<int32_t, 8> wide;  // networks have multiples of 8 channels more often than of 16
  const hn::CappedTag<int32_t, 1> single;
  const auto lanes = static_cast<int64_t>(hn::Lanes(wide));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes)
    channels_at(wide, x + c, offsets, positions, weights + c, channels, sums + c);
  for (; c < channels; ++c) channels_at(single, x + c, offsets, positions, weights + c, channels, sums + c);
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(depthwise);

void int_depthwise(const int16_t* x, std::span<const int64_t> offsets, const int16_t* weights, int64_t channels,
                   int32_t* sums) {
  HWY_DYNAMIC_DISPATCH(depthwise)(x, offsets.data(), offsets.size(), weights, channels, sums);
}

}  // namespace amct
#endif  // HWY_ONCE

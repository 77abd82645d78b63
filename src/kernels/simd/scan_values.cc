#include "kernels/simd/scan_values.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/scan_values.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "kernels/simd/bit_patterns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Vec, class Mask>
HWY_INLINE Vec CountedIn(Vec counts, Mask mask) {
  return hn::IfThenElse(mask, hn::Add(counts, hn::Set(U(), 1)), counts);
}

void ScanValues(const float* values, size_t count, const Magnitudes& largest, ScannedValues& result) {
  const F df;
  const U du;
  const I di;
  const auto top = hn::Set(du, PatternOf(largest, false)), bottom = hn::Set(du, PatternOf(largest, true));
  auto zeros = hn::Zero(du), tops = zeros, bottoms = zeros, umax = zeros;
  auto umin = hn::Set(du, ~0u);
  auto smax = hn::Set(di, static_cast<int32_t>(kSign));
  ForVectors(values, count, [&](auto bits, auto valid) HWY_ATTR {
    smax = hn::Max(smax, hn::BitCast(di, bits));
    umax = hn::Max(umax, bits);
    umin = hn::Min(umin, bits);
    const auto is_zero = hn::RebindMask(du, hn::Eq(hn::BitCast(df, bits), hn::Zero(df)));
    zeros = CountedIn(zeros, valid(is_zero));
    tops = CountedIn(tops, valid(hn::Eq(bits, top)));
    bottoms = CountedIn(bottoms, valid(hn::Eq(bits, bottom)));
  });
  result.zeros = hn::GetLane(hn::SumOfLanes(du, zeros));
  result.equal[0] = hn::GetLane(hn::SumOfLanes(du, tops));
  result.equal[1] = hn::GetLane(hn::SumOfLanes(du, bottoms));
  result.range = RangeOf(smax, umax, umin, result.zeros > 0);
}

bool ScanPositiveValues(const float* values, size_t count, uint32_t largest, ScannedValues& result) {
  const U du;
  const auto top = hn::Set(du, PatternOf({largest, 0}, false));
  auto zeros = hn::Zero(du), tops = zeros, umax = zeros;
  ForVectors(values, count, [&](auto bits, auto valid) HWY_ATTR {
    umax = hn::Max(umax, bits);
    zeros = CountedIn(zeros, valid(hn::Eq(bits, hn::Zero(du))));
    tops = CountedIn(tops, valid(hn::Eq(bits, top)));
  });
  const uint32_t high = hn::GetLane(hn::MaxOfLanes(du, umax));
  if (high >= kSign) return false;
  result.zeros = hn::GetLane(hn::SumOfLanes(du, zeros));
  result.equal[0] = hn::GetLane(hn::SumOfLanes(du, tops));
  result.range = {{high, 0}, 0};
  return true;
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(ScanValues);
HWY_EXPORT(ScanPositiveValues);

ScannedValues scan_values(std::span<const float> values, const Magnitudes& largest) {
  ScannedValues result;
  HWY_DYNAMIC_DISPATCH(ScanValues)(values.data(), values.size(), largest, result);
  return result;
}

bool scan_positive_values(std::span<const float> values, uint32_t largest, ScannedValues& result) {
  return HWY_DYNAMIC_DISPATCH(ScanPositiveValues)(values.data(), values.size(), largest, result);
}

}  // namespace amct
#endif

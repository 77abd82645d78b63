#include "kernels/simd/scan_values.h"

#include <algorithm>

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/scan_values.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr uint32_t kSign = 0x80000000u;
constexpr size_t kAhead = 1024;  // values, which are fetched before they are needed

using F = hn::ScalableTag<float>;
using U = hn::ScalableTag<uint32_t>;
using I = hn::ScalableTag<int32_t>;

// Calls step(bits, valid) for vectors of bit patterns; `valid` restricts a mask to the lanes that hold values. The
// others, at the end, repeat a value.
template <class Step>
HWY_INLINE void ForVectors(const float* HWY_RESTRICT values, size_t count, const Step& step) {
  const F df;
  const U du;
  const size_t lanes = hn::Lanes(du);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hwy::Prefetch(values + i + kAhead);
    step(hn::BitCast(du, hn::LoadU(df, values + i)), [](auto mask) HWY_ATTR { return mask; });
  }
  if (i == count) return;
  HWY_ALIGN float last[hn::MaxLanes(df)];
  std::fill_n(last, lanes, values[i]);
  std::copy(values + i, values + count, last);
  const auto present = hn::FirstN(du, count - i);
  step(hn::BitCast(du, hn::Load(df, last)), [&](auto mask) HWY_ATTR { return hn::And(mask, present); });
}

template <class Vec, class Mask>
HWY_INLINE Vec CountedIn(Vec counts, Mask mask) {
  return hn::IfThenElse(mask, hn::Add(counts, hn::Set(U(), 1)), counts);
}

void ScanValues(const float* values, size_t count, const Magnitudes& largest, ScannedValues& result) {
  const F df;
  const U du;
  const I di;
  // No finite value equals these where there is no largest one yet.
  const auto top = hn::Set(du, largest[0] == 0 ? ~kSign : largest[0]);
  const auto bottom = hn::Set(du, kSign | (largest[1] == 0 ? ~kSign : largest[1]));
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
  const int32_t high = hn::GetLane(hn::MaxOfLanes(di, smax));
  const uint32_t low = hn::GetLane(hn::MaxOfLanes(du, umax));
  result.range = {{high < 0 ? 0 : static_cast<uint32_t>(high), low < kSign ? 0 : low & ~kSign},
                  result.zeros > 0 ? 0 : hn::GetLane(hn::MinOfLanes(du, umin))};
}

bool ScanPositiveValues(const float* values, size_t count, uint32_t largest, ScannedValues& result) {
  const U du;
  const auto top = hn::Set(du, largest == 0 ? ~kSign : largest);
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

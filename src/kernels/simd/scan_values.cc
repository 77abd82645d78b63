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

void ScanValues(const float* HWY_RESTRICT values, size_t count, const Magnitudes& largest, ScannedValues& result) {
  const hn::ScalableTag<float> df;
  const hn::ScalableTag<uint32_t> du;
  const hn::ScalableTag<int32_t> di;
  const size_t lanes = hn::Lanes(du);
  // No finite value equals these where there is no largest one yet.
  const auto top = hn::Set(du, largest[0] == 0 ? ~kSign : largest[0]);
  const auto bottom = hn::Set(du, kSign | (largest[1] == 0 ? ~kSign : largest[1]));
  auto zeros = hn::Zero(du), tops = zeros, bottoms = zeros, umax = zeros;
  auto umin = hn::Set(du, ~0u);
  auto smax = hn::Set(di, static_cast<int32_t>(kSign));
  const auto step = [&](auto bits, auto valid) HWY_ATTR {
    smax = hn::Max(smax, hn::BitCast(di, bits));
    umax = hn::Max(umax, bits);
    umin = hn::Min(umin, bits);
    const auto is_zero = hn::RebindMask(du, hn::Eq(hn::BitCast(df, bits), hn::Zero(df)));
    zeros = hn::Sub(zeros, hn::VecFromMask(du, valid(is_zero)));
    tops = hn::Sub(tops, hn::VecFromMask(du, valid(hn::Eq(bits, top))));
    bottoms = hn::Sub(bottoms, hn::VecFromMask(du, valid(hn::Eq(bits, bottom))));
  };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hwy::Prefetch(values + i + kAhead);
    step(hn::BitCast(du, hn::LoadU(df, values + i)), [](auto mask) HWY_ATTR { return mask; });
  }
  if (i < count) {  // the lanes beyond repeat a value and are not counted
    HWY_ALIGN float last[hn::MaxLanes(df)];
    std::fill_n(last, lanes, values[i]);
    std::copy(values + i, values + count, last);
    const auto present = hn::FirstN(du, count - i);
    step(hn::BitCast(du, hn::Load(df, last)), [&](auto mask) HWY_ATTR { return hn::And(mask, present); });
  }
  result.zeros = hn::GetLane(hn::SumOfLanes(du, zeros));
  result.equal[0] = hn::GetLane(hn::SumOfLanes(du, tops));
  result.equal[1] = hn::GetLane(hn::SumOfLanes(du, bottoms));
  const int32_t high = hn::GetLane(hn::MaxOfLanes(di, smax));
  const uint32_t low = hn::GetLane(hn::MaxOfLanes(du, umax));
  result.range = {{high < 0 ? 0 : static_cast<uint32_t>(high), low < kSign ? 0 : low & ~kSign},
                  hn::GetLane(hn::MinOfLanes(du, umin))};
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(ScanValues);

ScannedValues scan_values(std::span<const float> values, const Magnitudes& largest) {
  ScannedValues result;
  HWY_DYNAMIC_DISPATCH(ScanValues)(values.data(), values.size(), largest, result);
  return result;
}

}  // namespace amct
#endif

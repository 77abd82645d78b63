// What the two loops over the bit patterns of floats share: count_buckets.cc, which counts values into buckets, and
// scan_values.cc, which only looks at them. Compiled once per instruction set (see Highway's foreach_target).
//
// Patterns order values without arithmetic on floats: as signed integers the largest one is the largest positive value,
// as unsigned ones the largest is the negative value farthest from zero, and the smallest the value that is the least
// of those not negative (or, if all are negative, the closest to zero).
#if defined(AMCT_KERNELS_SIMD_BIT_PATTERNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AMCT_KERNELS_SIMD_BIT_PATTERNS_INL_H_
#undef AMCT_KERNELS_SIMD_BIT_PATTERNS_INL_H_
#else
#define AMCT_KERNELS_SIMD_BIT_PATTERNS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/simd/count_buckets.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F = hn::ScalableTag<float>;
using U = hn::ScalableTag<uint32_t>;
using I = hn::ScalableTag<int32_t>;

constexpr uint32_t kSign = 0x80000000u;

// Calls step(bits, valid) for vectors of bit patterns; `valid` restricts a mask to the lanes that hold values. The
// others, at the end, repeat a value. Fetches what lies kCountChunk values ahead: the next chunk, while one is counted.
template <class Step>
HWY_INLINE void ForVectors(const float* HWY_RESTRICT values, size_t count, const Step& step) {
  const F df;
  const U du;
  const size_t lanes = hn::Lanes(du);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hwy::Prefetch(values + i + kCountChunk);
    step(hn::BitCast(du, hn::LoadU(df, values + i)), [](auto mask) HWY_ATTR { return mask; });
  }
  if (i == count) return;
  HWY_ALIGN float last[hn::MaxLanes(df)];
  std::fill_n(last, lanes, values[i]);
  std::copy(values + i, values + count, last);
  const auto present = hn::FirstN(du, count - i);
  step(hn::BitCast(du, hn::Load(df, last)), [&](auto mask) HWY_ATTR { return hn::And(mask, present); });
}

// The pattern of the largest value of a sign; where there is none yet, one that no finite value has.
HWY_INLINE uint32_t PatternOf(const Magnitudes& largest, bool negative) {
  const uint32_t magnitude = largest[negative] == 0 ? ~kSign : largest[negative];
  return negative ? kSign | magnitude : magnitude;
}

// From the largest patterns of all lanes as signed and as unsigned integers and the smallest as unsigned ones. With a
// zero among the values, `least` is that of +0, whatever the sign of it.
HWY_INLINE ChunkRange RangeOf(hn::Vec<I> smax, hn::Vec<U> umax, hn::Vec<U> umin, bool has_zero) {
  const int32_t high = hn::GetLane(hn::MaxOfLanes(I(), smax));
  const uint32_t low = hn::GetLane(hn::MaxOfLanes(U(), umax));
  return {{high < 0 ? 0 : static_cast<uint32_t>(high), low < kSign ? 0 : low & ~kSign},
          has_zero ? 0 : hn::GetLane(hn::MinOfLanes(U(), umin))};
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard

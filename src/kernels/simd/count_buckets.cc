#include "kernels/simd/count_buckets.h"

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/count_buckets.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "kernels/simd/bit_patterns-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct Found {
  size_t counted = 0;  // buckets written
  uint64_t zeros = 0, equal[2] = {0, 0};
  ChunkRange range;
};

// Writes the buckets of a chunk to `index`, as positions in the counters. kBounded: without those beyond `bound`.
template <bool kBounded>
HWY_INLINE Found BucketsOf(const float* values, size_t count, const BucketCounts& counts, uint32_t bound,
                           uint32_t* HWY_RESTRICT index) {
  const F df;
  const U du;
  const I di;
  const auto top = hn::Set(du, PatternOf(counts.largest, false));
  const auto bottom = hn::Set(du, PatternOf(counts.largest, true));
  const auto scale = hn::Set(df, counts.inverse_width);
  // floor(x / width) + kSignBuckets in the low bits of the float's pattern; the mask keeps every index in the table.
  const auto offset = hn::Set(df, static_cast<float>((size_t{1} << 23) + kSignBuckets));
  const auto in_table = hn::Set(du, static_cast<uint32_t>(2 * kSignBuckets - 1));
  const auto limit = hn::Set(du, bound);
  auto zeros = hn::Zero(du), tops = zeros, bottoms = zeros, umax = zeros;
  auto umin = hn::Set(du, ~0u);
  auto smax = hn::Set(di, static_cast<int32_t>(kSign));
  Found found;
  ForVectors(values, count, [&](auto bits, auto valid) HWY_ATTR {
    const auto x = hn::BitCast(df, bits);
    smax = hn::Max(smax, hn::BitCast(di, bits));
    umax = hn::Max(umax, bits);
    umin = hn::Min(umin, bits);
    const auto is_zero = valid(hn::RebindMask(du, hn::Eq(x, hn::Zero(df))));
    const auto is_top = valid(hn::Eq(bits, top));
    const auto is_bottom = hn::Eq(bits, bottom);
    zeros = hn::Sub(zeros, hn::VecFromMask(du, is_zero));
    tops = hn::Sub(tops, hn::VecFromMask(du, is_top));
    auto keep = valid(hn::Not(hn::Or(is_zero, hn::Or(is_top, is_bottom))));
    if constexpr (kBounded) {
      bottoms = hn::Sub(bottoms, hn::VecFromMask(du, valid(is_bottom)));
      keep = hn::And(keep, hn::Lt(hn::And(bits, hn::Set(du, ~kSign)), limit));
    }
    const auto place = hn::Add(hn::Floor(hn::Mul(x, scale)), offset);
    hn::StoreU(hn::Compress(hn::And(hn::BitCast(du, place), in_table), keep), du, index + found.counted);
    found.counted += hn::CountTrue(du, keep);
  });
  found.zeros = hn::GetLane(hn::SumOfLanes(du, zeros));
  found.equal[0] = hn::GetLane(hn::SumOfLanes(du, tops));
  found.equal[1] =
      kBounded ? hn::GetLane(hn::SumOfLanes(du, bottoms)) : count - found.counted - found.zeros - found.equal[0];
  found.range = RangeOf(smax, umax, umin, found.zeros > 0);
  return found;
}

HWY_INLINE void Increment(const Found& found, const uint32_t* HWY_RESTRICT index, BucketCounts& counts) {
  uint32_t* HWY_RESTRICT counters = counts.counters;
  size_t i = 0;
  for (; i + 8 <= found.counted; i += 8) {
    for (size_t k = 0; k < 8; ++k) ++counters[index[i + k]];
  }
  for (; i < found.counted; ++i) ++counters[index[i]];
  counts.zeros += found.zeros;
  counts.equal[0] += found.equal[0];
  counts.equal[1] += found.equal[1];
}

bool CountChunk(const float* values, size_t count, BucketCounts& counts, ChunkRange& range) {
  HWY_ALIGN uint32_t index[kCountChunk + hn::MaxLanes(U())];
  const Found found = BucketsOf<false>(values, count, counts, 0, index);
  range = found.range;
  if (range.largest[0] > counts.expected[0] || range.largest[1] > counts.expected[1]) return false;
  Increment(found, index, counts);
  return true;
}

void CountChunkBelow(const float* values, size_t count, uint32_t bound, BucketCounts& counts) {
  HWY_ALIGN uint32_t index[kCountChunk + hn::MaxLanes(U())];
  Increment(BucketsOf<true>(values, count, counts, bound, index), index, counts);
}

size_t FindLarger(const float* values, size_t count, const Magnitudes& expected, uint32_t* patterns) {
  const U du;
  const I di;
  const auto high = hn::Set(di, static_cast<int32_t>(expected[0]));
  const auto low = hn::Set(du, kSign | expected[1]);
  size_t found = 0;
  ForVectors(values, count, [&](auto bits, auto valid) HWY_ATTR {
    const auto above = hn::RebindMask(du, hn::Gt(hn::BitCast(di, bits), high));
    const auto larger = valid(hn::Or(above, hn::Gt(bits, low)));
    if (hn::AllFalse(du, larger)) return;
    hn::StoreU(hn::Compress(bits, larger), du, patterns + found);
    found += hn::CountTrue(du, larger);
  });
  return found;
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(CountChunk);
HWY_EXPORT(CountChunkBelow);
HWY_EXPORT(FindLarger);

bool count_chunk(std::span<const float> values, BucketCounts& counts, ChunkRange& range) {
  AMCT_CHECK(values.size() <= kCountChunk, "a chunk of values is too long");
  return HWY_DYNAMIC_DISPATCH(CountChunk)(values.data(), values.size(), counts, range);
}

void count_chunk_below(std::span<const float> values, uint32_t bound, BucketCounts& counts) {
  AMCT_CHECK(values.size() <= kCountChunk, "a chunk of values is too long");
  HWY_DYNAMIC_DISPATCH(CountChunkBelow)(values.data(), values.size(), bound, counts);
}

size_t find_larger(std::span<const float> values, const Magnitudes& expected, uint32_t* patterns) {
  AMCT_CHECK(values.size() <= kCountChunk, "a chunk of values is too long");
  return HWY_DYNAMIC_DISPATCH(FindLarger)(values.data(), values.size(), expected, patterns);
}

}  // namespace amct
#endif

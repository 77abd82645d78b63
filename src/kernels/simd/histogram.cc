#include "kernels/simd/histogram.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/histogram.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef AMCT_KERNELS_SIMD_HISTOGRAM_ONCE
#define AMCT_KERNELS_SIMD_HISTOGRAM_ONCE
namespace amct {

struct CountState {
  uint32_t* counters;  // [bucket][4]
  Tail& positive;
  Tail& negative;
  uint64_t zeros;
  uint32_t least_magnitude;
};

// The rare part of the loop: adds those of `count` bit patterns that lie beyond a threshold.
inline void add_to_tails(const int32_t* bits, size_t count, CountState& state) {
  for (size_t i = 0; i < count; ++i) {
    const auto pattern = static_cast<uint32_t>(bits[i]);
    Tail& tail = pattern >> 31 ? state.negative : state.positive;
    const uint32_t magnitude = pattern & 0x7fffffffu;
    if (magnitude > tail.threshold()) tail.add(magnitude);
  }
}

}  // namespace amct
#endif

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kChunk = 1024;

// Bucket numbers (times four) of the non-zero values among `count` <= kChunk, written densely; returns how many.
size_t BucketsOf(const int32_t* values, size_t count, uint32_t* index, CountState& state) {
  const hn::ScalableTag<int32_t> d;
  const hn::ScalableTag<uint32_t> du;
  const auto sign = hn::Set(d, static_cast<int32_t>(0x80000000u));
  const auto one = hn::Set(du, 1u);
  const auto group = hn::Set(du, ~3u);
  auto least = hn::Set(du, state.least_magnitude - 1);
  auto equal_positive = hn::Zero(d), equal_negative = hn::Zero(d);
  auto threshold_positive = hn::Set(d, static_cast<int32_t>(state.positive.threshold()));
  auto threshold_negative = hn::Set(d, static_cast<int32_t>(state.negative.threshold()));
  auto largest_positive = hn::Set(d, static_cast<int32_t>(state.positive.largest()));
  auto largest_negative = hn::Set(d, static_cast<int32_t>(state.negative.largest()));
  size_t written = 0;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN int32_t last[hn::MaxLanes(d)] = {};  // the values beyond the last whole vector, filled up with zeros
  std::copy(values + count / lanes * lanes, values + count, last);
  for (size_t i = 0; i < count; i += lanes) {
    const auto bits = i + lanes <= count ? hn::LoadU(d, values + i) : hn::Load(d, last);
    const auto flipped = hn::Xor(bits, sign);  // negative values as positive integers
    const auto beyond = hn::Or(hn::Gt(bits, threshold_positive), hn::Gt(flipped, threshold_negative));
    if (HWY_UNLIKELY(!hn::AllFalse(d, beyond))) {
      HWY_ALIGN int32_t block[hn::MaxLanes(d)];
      hn::Store(bits, d, block);
      const uint32_t before_positive = state.positive.largest(), before_negative = state.negative.largest();
      add_to_tails(block, lanes, state);
      if (state.positive.largest() != before_positive) equal_positive = hn::Zero(d);
      if (state.negative.largest() != before_negative) equal_negative = hn::Zero(d);
      threshold_positive = hn::Set(d, static_cast<int32_t>(state.positive.threshold()));
      threshold_negative = hn::Set(d, static_cast<int32_t>(state.negative.threshold()));
      largest_positive = hn::Set(d, static_cast<int32_t>(state.positive.largest()));
      largest_negative = hn::Set(d, static_cast<int32_t>(state.negative.largest()));
    }
    equal_positive = hn::Sub(equal_positive, hn::VecFromMask(d, hn::Eq(bits, largest_positive)));
    equal_negative = hn::Sub(equal_negative, hn::VecFromMask(d, hn::Eq(flipped, largest_negative)));
    const auto magnitude = hn::BitCast(du, hn::AndNot(sign, bits));
    least = hn::Min(least, hn::Sub(magnitude, one));  // a zero wraps to the largest integer and drops out
    const auto occupied = hn::Ne(magnitude, hn::Zero(du));
    const auto bucket = hn::And(hn::ShiftRight<21 - LogLinearHistogram::kMantissaBits>(hn::BitCast(du, bits)), group);
    hn::StoreU(hn::Compress(bucket, occupied), du, index + written);
    written += hn::CountTrue(du, occupied);
  }
  state.least_magnitude = hn::GetLane(hn::MinOfLanes(du, least)) + 1;
  state.positive.count_largest(static_cast<uint64_t>(hn::GetLane(hn::SumOfLanes(d, equal_positive))));
  state.negative.count_largest(static_cast<uint64_t>(hn::GetLane(hn::SumOfLanes(d, equal_negative))));
  return written;
}

void Count(const float* values, size_t count, CountState& state) {
  const hn::ScalableTag<int32_t> d;
  HWY_ALIGN uint32_t index[kChunk + hn::MaxLanes(d)];
  uint32_t* HWY_RESTRICT counters = state.counters;
  for (size_t start = 0; start < count; start += kChunk) {
    const size_t chunk = HWY_MIN(kChunk, count - start);
    const size_t filled = BucketsOf(reinterpret_cast<const int32_t*>(values + start), chunk, index, state);
    state.zeros += chunk - filled;
    size_t i = 0;
    for (; i + 4 <= filled; i += 4) {
      ++counters[index[i]];
      ++counters[index[i + 1] + 1];
      ++counters[index[i + 2] + 2];
      ++counters[index[i + 3] + 3];
    }
    for (; i < filled; ++i) ++counters[index[i] + (i & 3)];
  }
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(Count);

void LogLinearHistogram::Unmap::operator()(void* memory) const { munmap(memory, bytes); }

template <typename T>
LogLinearHistogram::Table<T> LogLinearHistogram::map_table(size_t count) {
  const size_t bytes = count * sizeof(T);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorCode::kResource, "not enough memory for an activation histogram", {},
                "use fewer threads (--threads)");
  }
  madvise(memory, bytes, MADV_NOHUGEPAGE);  // a huge page would make the whole table resident
  return Table<T>(static_cast<T*>(memory), Unmap{bytes});
}

LogLinearHistogram::LogLinearHistogram(size_t tail_capacity)
    : counters_(map_table<uint32_t>(kBuckets * kLanes)), positive_(tail_capacity), negative_(tail_capacity) {
  AMCT_CHECK(tail_capacity >= 1, "a histogram without tails");
}

void LogLinearHistogram::add(std::span<const float> values) {
  constexpr uint64_t kLimit = 0xffffffffu;
  while (!values.empty()) {
    if (pending_ == kLimit) fold();
    const auto part = values.first(static_cast<size_t>(std::min<uint64_t>(values.size(), kLimit - pending_)));
    CountState state{counters_.get(), positive_, negative_, 0, least_magnitude_};
    HWY_DYNAMIC_DISPATCH(Count)(part.data(), part.size(), state);
    zeros_ += state.zeros;
    least_magnitude_ = state.least_magnitude;
    pending_ += part.size();
    values = values.subspan(part.size());
  }
}

void LogLinearHistogram::add(float value, uint64_t count) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (count == 0) return;
  if (magnitude == 0) {
    zeros_ += count;
    return;
  }
  (bits >> 31 ? negative_ : positive_).add(magnitude, count);
  least_magnitude_ = std::min(least_magnitude_, magnitude);
  if (!totals_) totals_ = map_table<uint64_t>(kBuckets);
  totals_[bucket_of(value)] += count;
}

void LogLinearHistogram::merge(const LogLinearHistogram& other) {
  AMCT_CHECK(positive_.capacity() == other.positive_.capacity(), "histograms of different tails cannot merge");
  if (!totals_) totals_ = map_table<uint64_t>(kBuckets);
  for (const bool negative : {false, true}) {
    other.for_each(negative, [&](size_t bucket, uint64_t count) { totals_[bucket] += count; });
  }
  zeros_ += other.zeros_;
  least_magnitude_ = std::min(least_magnitude_, other.least_magnitude_);
  positive_.merge(other.positive_);
  negative_.merge(other.negative_);
}

LogLinearHistogram::Range LogLinearHistogram::touched(bool negative) const {
  const uint32_t largest = (negative ? negative_ : positive_).largest();
  if (largest == 0) return {1, 0};
  const size_t base = negative ? kBuckets / 2 : 0;
  return {base + (least_magnitude_ >> (23 - kMantissaBits)), base + (largest >> (23 - kMantissaBits))};
}

uint64_t LogLinearHistogram::count_of(size_t bucket) const {
  uint64_t count = totals_ ? totals_[bucket] : 0;
  for (size_t lane = 0; lane < kLanes; ++lane) count += counters_[bucket * kLanes + lane];
  return count;
}

void LogLinearHistogram::for_each(bool negative, const std::function<void(size_t, uint64_t)>& visit) const {
  const Range range = touched(negative);
  for (size_t bucket = range.first; bucket <= range.last; ++bucket) {
    if (const uint64_t count = count_of(bucket)) visit(bucket, count);
  }
}

void LogLinearHistogram::fold() {
  if (!totals_) totals_ = map_table<uint64_t>(kBuckets);
  for (const bool negative : {false, true}) {
    const Range range = touched(negative);
    for (size_t bucket = range.first; bucket <= range.last; ++bucket) {
      totals_[bucket] = count_of(bucket);
      std::fill_n(&counters_[bucket * kLanes], kLanes, 0u);
    }
  }
  pending_ = 0;
}

size_t LogLinearHistogram::resident_bytes() const {
  size_t bytes = 0;
  for (const bool negative : {false, true}) {
    const Range range = touched(negative);
    if (range.first > range.last) continue;
    bytes += (range.last - range.first + 1) * (kLanes * sizeof(uint32_t) + (totals_ ? sizeof(uint64_t) : 0));
  }
  return bytes;
}

}  // namespace amct
#endif

#include "kernels/simd/histogram.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/histogram.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef AMCT_KERNELS_SIMD_HISTOGRAM_ONCE
#define AMCT_KERNELS_SIMD_HISTOGRAM_ONCE
namespace amct {

// What one run of the kernel reads and changes. Index 0 is positive, 1 negative.
struct CountState {
  struct Displaced {
    bool negative;
    uint32_t magnitude;
    uint64_t count;
  };
  uint32_t* counters;
  Tail* tails;
  uint64_t* largest_counts;
  uint64_t zeros;
  uint32_t least_magnitude;
  std::vector<Displaced> displaced;  // values that were the largest until a larger one came
};

// The rare part of the loop: adds those of `count` bit patterns that lie beyond a threshold.
inline void add_to_tails(const int32_t* bits, size_t count, CountState& state) {
  for (size_t i = 0; i < count; ++i) {
    const auto pattern = static_cast<uint32_t>(bits[i]);
    Tail& tail = state.tails[pattern >> 31];
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

// The values of one sign, as integers that are positive for them: what is compared with their tail.
template <class D>
struct Side {
  using V = hn::Vec<D>;
  Side(D tag, CountState& s, bool is_negative) : d(tag), state(s), negative(is_negative), equal(hn::Zero(tag)) {
    load();
  }
  void load() {
    threshold = hn::Set(d, static_cast<int32_t>(state.tails[negative].threshold()));
    largest_bits = state.tails[negative].largest();
    // No pattern of this sign is all ones below the sign except a NaN.
    largest = hn::Set(d, static_cast<int32_t>(largest_bits == 0 ? 0x7fffffffu : largest_bits));
  }
  // After the tail has changed.
  void reload() {
    const uint32_t before = largest_bits;
    load();
    if (largest_bits == before) return;
    if (before != 0) state.displaced.push_back({negative, before, state.largest_counts[negative] + take()});
    state.largest_counts[negative] = 0;
  }
  uint64_t take() {
    const auto sum = static_cast<uint64_t>(hn::GetLane(hn::SumOfLanes(d, equal)));
    equal = hn::Zero(d);
    return sum;
  }
  D d;
  CountState& state;
  bool negative;
  uint32_t largest_bits = 0;
  V threshold, largest, equal;
};

// Bucket numbers of those among `count` <= kChunk values that are neither zero nor the largest, written densely;
// returns how many.
size_t BucketsOf(const int32_t* values, size_t count, uint32_t* index, CountState& state) {
  const hn::ScalableTag<int32_t> d;
  const hn::ScalableTag<uint32_t> du;
  using D = hn::ScalableTag<int32_t>;
  const auto sign = hn::Set(d, static_cast<int32_t>(0x80000000u));
  auto least = hn::Set(du, state.least_magnitude - 1);
  auto zeros = hn::Zero(d);
  Side<D> positive(d, state, false), negative(d, state, true);
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN int32_t last[hn::MaxLanes(d)] = {};  // the values beyond the last whole vector, filled up with zeros
  std::copy(values + count / lanes * lanes, values + count, last);
  size_t written = 0;
  for (size_t i = 0; i < count; i += lanes) {
    const auto bits = i + lanes <= count ? hn::LoadU(d, values + i) : hn::Load(d, last);
    const auto flipped = hn::Xor(bits, sign);  // negative values as positive integers
    const auto beyond = hn::Or(hn::Gt(bits, positive.threshold), hn::Gt(flipped, negative.threshold));
    if (HWY_UNLIKELY(!hn::AllFalse(d, beyond))) {
      HWY_ALIGN int32_t block[hn::MaxLanes(d)];
      hn::Store(bits, d, block);
      add_to_tails(block, lanes, state);
      positive.reload();
      negative.reload();
    }
    const auto magnitude = hn::AndNot(sign, bits);
    const auto is_zero = hn::Eq(magnitude, hn::Zero(d));
    const auto top = hn::Eq(bits, positive.largest), bottom = hn::Eq(flipped, negative.largest);
    zeros = hn::Sub(zeros, hn::VecFromMask(d, is_zero));
    positive.equal = hn::Sub(positive.equal, hn::VecFromMask(d, top));
    negative.equal = hn::Sub(negative.equal, hn::VecFromMask(d, bottom));
    // A zero wraps to the largest integer and drops out.
    least = hn::Min(least, hn::BitCast(du, hn::Sub(magnitude, hn::Set(d, 1))));
    const auto counted = hn::Not(hn::Or(is_zero, hn::Or(top, bottom)));
    const auto bucket = hn::ShiftRight<23 - LogLinearHistogram::kMantissaBits>(hn::BitCast(du, bits));
    hn::StoreU(hn::Compress(bucket, hn::RebindMask(du, counted)), du, index + written);
    written += hn::CountTrue(d, counted);
  }
  state.least_magnitude = hn::GetLane(hn::MinOfLanes(du, least)) + 1;
  state.largest_counts[0] += positive.take();
  state.largest_counts[1] += negative.take();
  const size_t padding = (lanes - count % lanes) % lanes;
  state.zeros += static_cast<size_t>(hn::GetLane(hn::SumOfLanes(d, zeros))) - padding;
  return written;
}

void Count(const float* values, size_t count, CountState& state) {
  const hn::ScalableTag<int32_t> d;
  HWY_ALIGN uint32_t index[kChunk + hn::MaxLanes(d)];
  uint32_t* HWY_RESTRICT counters = state.counters;
  for (size_t start = 0; start < count; start += kChunk) {
    const size_t chunk = HWY_MIN(kChunk, count - start);
    const size_t filled = BucketsOf(reinterpret_cast<const int32_t*>(values + start), chunk, index, state);
    for (size_t i = 0; i < filled; ++i) ++counters[index[i]];
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
    : counters_(map_table<uint32_t>(kBuckets)), tails_{Tail(tail_capacity), Tail(tail_capacity)} {
  AMCT_CHECK(tail_capacity >= 1, "a histogram without tails");
}

void LogLinearHistogram::add(std::span<const float> values) {
  while (!values.empty()) {
    if (pending_ >= kLimit) fold();
    const auto part = values.first(static_cast<size_t>(std::min<uint64_t>(values.size(), kLimit - pending_)));
    CountState state{counters_.get(), tails_, largest_counts_, 0, least_magnitude_, {}};
    HWY_DYNAMIC_DISPATCH(Count)(part.data(), part.size(), state);
    pending_ += part.size();
    zeros_ += state.zeros;
    least_magnitude_ = state.least_magnitude;
    for (const auto& old : state.displaced) add_to_bucket(bucket_of(old.negative, old.magnitude), old.count);
    values = values.subspan(part.size());
  }
}

void LogLinearHistogram::add(float value, uint64_t count) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude == 0) {
    zeros_ += count;
  } else if (count > 0) {
    least_magnitude_ = std::min(least_magnitude_, magnitude);
    add_magnitude(bits >> 31, magnitude, count);
    tails_[bits >> 31].add(magnitude, count);
  }
}

void LogLinearHistogram::add_magnitude(bool negative, uint32_t magnitude, uint64_t count) {
  const uint32_t largest = tails_[negative].largest();
  uint64_t& largest_count = largest_counts_[negative];
  if (magnitude == largest) {
    largest_count += count;
  } else if (magnitude < largest) {
    add_to_bucket(bucket_of(negative, magnitude), count);
  } else {
    if (largest != 0) add_to_bucket(bucket_of(negative, largest), largest_count);
    largest_count = count;
  }
}

void LogLinearHistogram::add_to_bucket(size_t bucket, uint64_t count) {
  if (pending_ + count > kLimit) {
    fold();
    totals_[bucket] += count;
  } else {
    counters_[bucket] += static_cast<uint32_t>(count);
    pending_ += count;
  }
}

void LogLinearHistogram::merge(const LogLinearHistogram& other) {
  AMCT_CHECK(tails_[0].capacity() == other.tails_[0].capacity(), "histograms of different tails cannot merge");
  const bool wide = other.totals_ || pending_ + other.pending_ > kLimit;
  if (wide) fold();
  // Before the buckets: `touched` of the merged histogram covers both.
  least_magnitude_ = std::min(least_magnitude_, other.least_magnitude_);
  for (const bool negative : {false, true}) {
    if (other.tails_[negative].largest() == 0) continue;
    add_magnitude(negative, other.tails_[negative].largest(), other.largest_counts_[negative]);
    tails_[negative].merge(other.tails_[negative]);
    other.for_each(negative, [&](size_t bucket, uint64_t count) {
      if (wide) {
        totals_[bucket] += count;
      } else {
        counters_[bucket] += static_cast<uint32_t>(count);
      }
    });
  }
  if (!wide) pending_ += other.pending_;
  zeros_ += other.zeros_;
}

LogLinearHistogram::Range LogLinearHistogram::touched(bool negative) const {
  const uint32_t largest = tails_[negative].largest();
  if (largest == 0) return {1, 0};
  return {bucket_of(negative, least_magnitude_), bucket_of(negative, largest)};
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
      totals_[bucket] += counters_[bucket];
      counters_[bucket] = 0;
    }
  }
  pending_ = 0;
}

size_t LogLinearHistogram::resident_bytes() const {
  size_t bytes = 0;
  for (const bool negative : {false, true}) {
    const Range range = touched(negative);
    if (range.first > range.last) continue;
    bytes += (range.last - range.first + 1) * (sizeof(uint32_t) + (totals_ ? sizeof(uint64_t) : 0));
  }
  return bytes;
}

}  // namespace amct
#endif

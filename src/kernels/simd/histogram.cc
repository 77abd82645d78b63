#include "kernels/simd/histogram.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace amct {

void LinearHistogram::Unmap::operator()(void* memory) const { munmap(memory, bytes); }

// Pages of a sign that does not occur never become resident.
template <typename T>
LinearHistogram::Table<T> LinearHistogram::map_table() {
  constexpr size_t kBytes = 2 * kSignBuckets * sizeof(T);
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorCode::kResource, "not enough memory for an activation histogram", {},
                "use fewer threads (--threads)");
  }
  return Table<T>(static_cast<T*>(memory), Unmap{kBytes});
}

LinearHistogram::LinearHistogram(size_t tail_capacity) : KnownValues(tail_capacity), counters_(map_table<uint32_t>()) {
  AMCT_CHECK(tail_capacity >= 1, "a histogram without tails");
}

uint32_t LinearHistogram::bound() const { return static_cast<uint32_t>(exponent_ + 127) << 23; }

double LinearHistogram::width() const { return std::ldexp(1.0, exponent_ - kBucketBits); }

size_t LinearHistogram::bucket_of(bool negative, uint32_t magnitude) const {
  const double steps = static_cast<double>(std::bit_cast<float>(magnitude)) / width();
  return static_cast<size_t>(static_cast<int64_t>(kSignBuckets) +
                             static_cast<int64_t>(std::floor(negative ? -steps : steps)));
}

// Other tensors have driven the counters out of the caches since the last sample. Fetching them in order is several
// times faster than one by one as values happen to need them.
void LinearHistogram::prefetch() const {
  constexpr size_t kLine = 64 / sizeof(uint32_t);
  for (const bool negative : {false, true}) {
    const uint32_t magnitude = std::min(largest_[negative], bound() - 1);
    if (largest_[negative] == 0) continue;
    const size_t outer = bucket_of(negative, magnitude);
    const size_t last = std::max(outer, kSignBuckets);
    for (size_t i = std::min(outer, kSignBuckets); i <= last; i += kLine) __builtin_prefetch(&counters_[i], 1);
  }
}

void LinearHistogram::add(std::span<const float> values) {
  while (!values.empty() && finite_) {
    const auto chunk = values.first(std::min(values.size(), kCountChunk));
    values = values.subspan(chunk.size());
    if (pending_ + chunk.size() > kLimit) fold();
    pending_ += chunk.size();
    BucketCounts counts{
        counters_.get(), static_cast<float>(1 / width()), largest_, {tails_[0].threshold(), tails_[1].threshold()}};
    ChunkRange range;
    if (!count_chunk(chunk, counts, range)) add_unexpected(chunk, range, counts);
    count_found(counts.zeros, range.least, counts.equal);
  }
}

void LinearHistogram::add_unexpected(std::span<const float> chunk, const ChunkRange& range, BucketCounts& counts) {
  if (std::max(range.largest[0], range.largest[1]) >= kInfinity) {
    finite_ = false;
    return;
  }
  for (const bool negative : {false, true}) {
    if (range.largest[negative] > largest_[negative]) displace(negative, range.largest[negative]);
  }
  const uint32_t old_bound = bound();
  counts.largest = largest_;
  count_chunk_below(chunk, old_bound, counts);
  uint32_t patterns[kCountChunk + 64];
  const size_t found = find_larger(chunk, counts.expected, patterns);
  for (size_t i = 0; i < found; ++i) {
    const uint32_t magnitude = patterns[i] & 0x7fffffffu;
    keep(patterns[i] >> 31, magnitude, magnitude < old_bound);
  }
}

void LinearHistogram::add(float value, uint64_t count) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool negative = bits >> 31;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (count == 0 || count_special(bits, count)) return;
  if (magnitude > largest_[negative]) displace(negative, magnitude);
  const bool is_largest = magnitude == largest_[negative];
  const bool counted = is_largest || magnitude < bound();
  if (is_largest) {
    largest_counts_[negative] += count;
  } else if (counted) {
    add_to_bucket(bucket_of(negative, magnitude), count);
  }
  const uint64_t copies = std::min<uint64_t>(count, tails_[negative].capacity());
  for (uint64_t i = 0; i < copies; ++i) keep(negative, magnitude, counted);
  if (count == copies) return;
  settle();  // more of them than the tail holds: now the buckets reach beyond
  if (!counted) add_to_bucket(bucket_of(negative, magnitude), count - copies);
}

// Reading a page before it is written maps the common page of zeros, whose replacement interrupts all threads.
void LinearHistogram::make_resident(bool negative) {
  constexpr size_t kPage = 4096 / sizeof(uint32_t);
  uint32_t* first = counters_.get() + (negative ? 0 : kSignBuckets);
  for (size_t i = 0; i < kSignBuckets; i += kPage) first[i] = 0;
}

void LinearHistogram::displace(bool negative, uint32_t magnitude) {
  const uint32_t old = largest_[negative];
  if (old == 0) make_resident(negative);  // the first of its sign
  // Beyond the bound it stays in the tail, as often as it came.
  if (old != 0 && old < bound()) add_to_bucket(bucket_of(negative, old), largest_counts_[negative]);
  largest_[negative] = magnitude;
  largest_counts_[negative] = 0;
}

void LinearHistogram::keep(bool negative, uint32_t magnitude, bool counted) {
  if (!counted && magnitude < bound() && magnitude != largest_[negative]) {
    add_to_bucket(bucket_of(negative, magnitude), 1);
  }
  Tail& tail = tails_[negative];
  if (magnitude <= tail.threshold()) return;
  tail.add(magnitude);
  if (tail.crowded()) settle();
}

void LinearHistogram::settle() {
  const uint32_t least = std::max(tails_[0].least(), tails_[1].least());
  const int exponent = static_cast<int>(least >> 23) - 126;  // the smallest with 2^exponent > least
  if (exponent > exponent_) grow(exponent);
  for (Tail& tail : tails_) tail.trim();
}

// Beyond the largest value all are empty: those of a sign that does not occur are never touched.
int LinearHistogram::buckets_in_use(bool negative) const {
  if (largest_[negative] == 0) return 0;
  if (largest_[negative] >= bound()) return kSignBuckets;
  const auto bucket = static_cast<int>(bucket_of(negative, largest_[negative])) - static_cast<int>(kSignBuckets);
  return negative ? -bucket : bucket + 1;
}

namespace {

// Adds up 2^shift neighbours each of `count` buckets, the first at `first` and the next one `step` further.
template <typename T>
void widen(T* first, int step, int count, int shift) {
  const int group = 1 << std::min(shift, kBucketBits);
  for (int to = 0, from = 0; from < count; ++to) {
    const int end = from + std::min(group, count - from);
    T sum = 0;
    for (; from < end; ++from) sum += std::exchange(first[from * step], 0);
    first[to * step] = sum;
  }
}

}  // namespace

void LinearHistogram::grow(int exponent) {
  const int shift = exponent - exponent_;
  const uint32_t old_bound = bound();
  const auto widen_both = [&](auto* table) {
    widen(table + kSignBuckets, 1, buckets_in_use(false), shift);
    widen(table + kSignBuckets - 1, -1, buckets_in_use(true), shift);
  };
  if (pending_ > 0) widen_both(counters_.get());
  if (totals_) widen_both(totals_.get());
  exponent_ = exponent;
  for (const bool negative : {false, true}) {
    for (const uint32_t magnitude : tails_[negative].kept()) {
      if (magnitude >= old_bound && magnitude < bound() && magnitude != largest_[negative]) {
        add_to_bucket(bucket_of(negative, magnitude), 1);
      }
    }
  }
}

void LinearHistogram::add_to_bucket(size_t bucket, uint64_t count) {
  if (pending_ + count > kLimit) {
    fold();
    totals_[bucket] += count;
  } else {
    counters_[bucket] += static_cast<uint32_t>(count);
    pending_ += count;
  }
}

void LinearHistogram::merge(const LinearHistogram& other) {
  merge_counts(other);
  if (!finite_) return;
  if (other.exponent_ > exponent_) grow(other.exponent_);
  const uint32_t old_bound = bound();
  for (const bool negative : {false, true}) {
    const uint32_t largest = other.largest_[negative];
    if (largest > largest_[negative]) displace(negative, largest);
    if (largest == largest_[negative]) {
      largest_counts_[negative] += other.largest_counts_[negative];
    } else if (largest != 0 && largest < old_bound) {
      add_to_bucket(bucket_of(negative, largest), other.largest_counts_[negative]);
    }
  }
  add_buckets(other);
  for (const bool negative : {false, true}) {
    for (const uint32_t magnitude : other.tails_[negative].kept()) {
      const bool in_bucket = magnitude < other.bound() || magnitude == other.largest_[negative];
      if (!in_bucket && magnitude < old_bound) add_to_bucket(bucket_of(negative, magnitude), 1);
      keep(negative, magnitude, magnitude < old_bound);
    }
  }
}

// Of one whose buckets are not wider.
void LinearHistogram::add_buckets(const LinearHistogram& other) {
  const int shift = std::min(exponent_ - other.exponent_, 31);
  const int first = static_cast<int>(kSignBuckets) - other.buckets_in_use(true);
  const int last = static_cast<int>(kSignBuckets) + other.buckets_in_use(false);
  if (shift == 0 && !other.totals_ && pending_ + other.pending_ <= kLimit) {
    uint32_t* to = counters_.get();
    const uint32_t* from = other.counters_.get();
    for (int i = first; i < last; ++i) to[i] += from[i];
    pending_ += other.pending_;
    return;
  }
  for (int i = first; i < last; ++i) {
    const uint64_t count = other.count_of(static_cast<size_t>(i));
    const int bucket = ((i - static_cast<int>(kSignBuckets)) >> shift) + static_cast<int>(kSignBuckets);
    if (count > 0) add_to_bucket(static_cast<size_t>(bucket), count);
  }
}

void LinearHistogram::for_each(bool negative,
                               const std::function<void(double inner, double outer, uint64_t count)>& visit) const {
  const double step = width();
  const auto in_use = static_cast<size_t>(buckets_in_use(negative));
  for (size_t i = 0; i < in_use; ++i) {
    const uint64_t count = count_of(negative ? kSignBuckets - 1 - i : kSignBuckets + i);
    if (count > 0) visit(static_cast<double>(i) * step, static_cast<double>(i + 1) * step, count);
  }
}

void LinearHistogram::fold() {
  if (!totals_) totals_ = map_table<uint64_t>();
  for (size_t bucket = 0; bucket < 2 * kSignBuckets; ++bucket) {
    if (counters_[bucket] == 0) continue;
    totals_[bucket] += counters_[bucket];
    counters_[bucket] = 0;
  }
  pending_ = 0;
}

}  // namespace amct

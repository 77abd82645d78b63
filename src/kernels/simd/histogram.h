// Counts of float32 values in log-linear buckets: the bucket of x is made of its sign, exponent and leading mantissa
// bits, so that no range has to be known in advance, one pass is enough, and histograms merge by addition.
//
// Kept exactly besides: the number of zeros, how many values equal the largest of each sign (clipped activations have
// much of their mass there), the smallest non-zero magnitude and the tail of each sign. Zeros and largest values fall
// into no bucket, which also keeps runs of equal values from waiting for each other's store. All of it is integers,
// minima, maxima and sets, so the result is the same in any order of values and of merging. Memory: virtually the whole
// float range, but only pages of octaves that occur become resident (4 kB an octave and sign).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kernels/simd/tail.h"

namespace amct {

class LogLinearHistogram {
 public:
  // 1024 buckets an octave: an eighth of a quantization step at the top of the range. Constant channels put much mass
  // at single values inside the range, whose rounding error coarser buckets would smear.
  static constexpr int kMantissaBits = 10;
  static constexpr size_t kBuckets = size_t{1} << (9 + kMantissaBits);

  // `tail_capacity` >= 1 values are kept exactly at each end. Throws Error(kResource) when memory cannot be mapped.
  explicit LogLinearHistogram(size_t tail_capacity);

  void add(std::span<const float> values);
  void add(float value, uint64_t count);
  void merge(const LogLinearHistogram& other);  // of equal tail capacity

  uint64_t zeros() const { return zeros_; }
  const Tail& tail(bool negative) const { return tails_[negative]; }
  uint64_t largest_count(bool negative) const { return largest_counts_[negative]; }
  // Bit pattern of the smallest non-zero magnitude; 2^32 - 1 if there was none.
  uint32_t least_magnitude() const { return least_magnitude_; }
  bool finite() const { return tails_[0].largest() < kInfinity && tails_[1].largest() < kInfinity; }

  static constexpr size_t bucket_of(bool negative, uint32_t magnitude) {
    return (negative ? kBuckets / 2 : 0) + (magnitude >> (23 - kMantissaBits));
  }
  // Magnitude bits of the bucket's inner edge; the outer edge is that of the next bucket.
  static constexpr uint32_t inner_edge(size_t bucket) {
    return (static_cast<uint32_t>(bucket) << (23 - kMantissaBits)) & 0x7fffffffu;
  }
  // Calls `visit` for the buckets of one sign that are not empty, from small to large magnitude. Values equal to the
  // largest are in none.
  void for_each(bool negative, const std::function<void(size_t bucket, uint64_t count)>& visit) const;

  size_t resident_bytes() const;  // of the tables, by the pages that values have touched

 private:
  static constexpr uint32_t kInfinity = 0x7f800000u;
  static constexpr uint64_t kLimit = 0xffffffffu;
  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };
  template <typename T>
  using Table = std::unique_ptr<T[], Unmap>;
  template <typename T>
  static Table<T> map_table(size_t count);
  struct Range {
    size_t first, last;
  };
  Range touched(bool negative) const;  // of buckets, inclusive; first > last = none
  uint64_t count_of(size_t bucket) const { return counters_[bucket] + (totals_ ? totals_[bucket] : 0); }
  void add_to_bucket(size_t bucket, uint64_t count);
  // Counts `count` values of this magnitude as equal to the largest if they are; what was the largest until then moves
  // to its bucket.
  void add_magnitude(bool negative, uint32_t magnitude, uint64_t count);
  void fold();  // moves the 32-bit counters into the 64-bit totals

  Table<uint32_t> counters_;
  Table<uint64_t> totals_{nullptr, Unmap{}};  // mapped on first use
  uint64_t pending_ = 0;                      // bound on every counter: kept below 2^32
  uint64_t zeros_ = 0;
  uint32_t least_magnitude_ = 0xffffffffu;
  Tail tails_[2];  // positive, negative
  uint64_t largest_counts_[2] = {0, 0};
};

}  // namespace amct

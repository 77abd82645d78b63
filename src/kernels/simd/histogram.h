// Counts of float32 values in log-linear buckets: the bucket of x is made of its sign, exponent and leading mantissa
// bits, so that no range has to be known in advance, one pass is enough, and histograms merge by addition.
//
// Kept exactly besides: number of zeros (which fall into no bucket), smallest non-zero magnitude, the largest values of
// each sign and how many equal the very largest. All of it is integers, minima, maxima and sets, so the result is the
// same in any order of values and of merging. Memory: virtually the whole float range, but only pages of octaves that
// occur become resident (4 kB an octave and sign).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kernels/simd/tail.h"

namespace amct {

class LogLinearHistogram {
 public:
  static constexpr int kMantissaBits = 8;  // 256 buckets an octave (docs/architecture.md says what fewer would cost)
  static constexpr size_t kBuckets = size_t{1} << (9 + kMantissaBits);

  // `tail_capacity` >= 1 values are kept exactly at each end. Throws Error(kResource) when memory cannot be mapped.
  explicit LogLinearHistogram(size_t tail_capacity);

  void add(std::span<const float> values);
  void add(float value, uint64_t count);
  void merge(const LogLinearHistogram& other);  // of equal tail capacity

  uint64_t zeros() const { return zeros_; }
  const Tail& positive() const { return positive_; }
  const Tail& negative() const { return negative_; }
  // Bit pattern of the smallest non-zero magnitude; 2^32 - 1 if there was none.
  uint32_t least_magnitude() const { return least_magnitude_; }
  bool finite() const { return positive_.largest() < kInfinity && negative_.largest() < kInfinity; }

  static constexpr size_t bucket_of(float value) { return std::bit_cast<uint32_t>(value) >> (23 - kMantissaBits); }
  // Magnitude bits of the bucket's inner edge; the outer edge is that of the next bucket.
  static constexpr uint32_t inner_edge(size_t bucket) {
    return (static_cast<uint32_t>(bucket) << (23 - kMantissaBits)) & 0x7fffffffu;
  }
  // Calls `visit` for the buckets of one sign that are not empty, from small to large magnitude.
  void for_each(bool negative, const std::function<void(size_t bucket, uint64_t count)>& visit) const;

  size_t resident_bytes() const;  // of the tables, by the pages that values have touched

 private:
  static constexpr uint32_t kInfinity = 0x7f800000u;
  // Four interleaved counters a bucket: neighbours of equal value do not wait for each other's store.
  static constexpr size_t kLanes = 4;
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
  uint64_t count_of(size_t bucket) const;
  void fold();  // moves the 32-bit counters into the 64-bit totals

  Table<uint32_t> counters_;
  Table<uint64_t> totals_{nullptr, Unmap{}};  // mapped on first use
  uint64_t pending_ = 0;                      // counted in `counters_`: kept below 2^32
  uint64_t zeros_ = 0;
  uint32_t least_magnitude_ = 0xffffffffu;
  Tail positive_;
  Tail negative_;
};

}  // namespace amct

// Counts of float32 values in linear buckets, without a range known in advance, in one pass, and mergeable by addition.
//
// The buckets of each sign share one width, a power of two: [k * width, (k + 1) * width). Values of magnitude 2^E and
// beyond lie outside of them and are kept one by one in the tail of their sign, so that outliers do not coarsen the
// buckets. When the smallest value of a full tail reaches 2^E, E grows and neighbouring buckets are added up: because
// widths are powers of two, the counts are those that the wider buckets would have had from the start. E follows from
// the `tail_capacity`-th largest magnitudes alone, so the result is the same in any order of values and of merging.
// 2^E is at most twice the larger one of these, hence the width at most 1/4096 of the range between the tails.
//
// Kept exactly besides (known_values.h): zeros, the largest of each sign (clipped activations have much of their mass
// there) and the value closest to zero if all have one sign. Zeros and largest values are in no bucket. Memory: 32 kB
// per sign that occurs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kernels/simd/count_buckets.h"
#include "kernels/simd/known_values.h"

namespace amct {

class LinearHistogram : public KnownValues {
 public:
  // `tail_capacity` >= 1 values are kept exactly at each end. Throws Error(kResource) when memory cannot be mapped.
  explicit LinearHistogram(size_t tail_capacity);

  void add(std::span<const float> values);
  void add(float value, uint64_t count);
  // Fetches the counters in use into the cache.
  void prefetch() const;
  void merge(const LinearHistogram& other);  // of equal tail capacity
  // Brings tails and width into the form that depends on the values alone. Before reading what follows.
  void settle();

  double width() const;  // of the buckets

  // Calls `visit` for the buckets of one sign that are not empty, from small to large magnitude, with the magnitudes of
  // their edges. A bucket holds its lower edge, not its upper one: of negative values the one farther from zero.
  void for_each(bool negative, const std::function<void(double inner, double outer, uint64_t count)>& visit) const;

 private:
  static constexpr uint64_t kLimit = 0xffffffffu;
  static constexpr int kLeastExponent = -100;  // of E: finer widths would have no float32 inverse
  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };
  template <typename T>
  using Table = std::unique_ptr<T[], Unmap>;
  template <typename T>
  static Table<T> map_table();

  uint32_t bound() const;  // magnitude bits of 2^E
  size_t bucket_of(bool negative, uint32_t magnitude) const;
  uint64_t count_of(size_t bucket) const { return counters_[bucket] + (totals_ ? totals_[bucket] : 0); }
  void add_to_bucket(size_t bucket, uint64_t count);
  void add_unexpected(std::span<const float> chunk, const ChunkRange& range, BucketCounts& counts);
  void make_resident(bool negative);
  // A larger value has come; what was the largest moves to its bucket.
  void displace(bool negative, uint32_t magnitude);
  // Keeps a magnitude in its tail. `counted`: it is in a bucket or equals the largest.
  void keep(bool negative, uint32_t magnitude, bool counted);
  void grow(int exponent);
  void add_buckets(const LinearHistogram& other);
  int buckets_in_use(bool negative) const;
  void fold();  // moves the 32-bit counters into the 64-bit totals

  Table<uint32_t> counters_;
  Table<uint64_t> totals_{nullptr, Unmap{}};  // mapped on first use
  uint64_t pending_ = 0;                      // bound on every counter: kept below 2^32
  int exponent_ = kLeastExponent;             // E
};

}  // namespace amct

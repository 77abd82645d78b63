// Histogram: the mergeable statistic of one tensor. It starts as exact counts of values and becomes a histogram of
// linear buckets when there are too many distinct ones. The result depends on the multiset of values alone: any order
// of samples, batch size, number of workers and order of merging gives the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/byte_stream.h"
#include "exec/distribution.h"
#include "kernels/simd/histogram.h"
#include "kernels/simd/value_counts.h"

namespace amct {

class Histogram {
 public:
  // How many values to keep exactly at each end, so that percentiles down to `percentile` are exact for up to
  // `expected_count` values; bounded by kMaxTail, beyond which percentiles are interpolated within a bucket.
  static constexpr size_t kMaxTail = 4096;
  static size_t tail_capacity(double percentile, uint64_t expected_count);

  explicit Histogram(size_t tail_capacity = 256);

  void add(std::span<const float> values);
  // Fetches the counters, which other tensors have driven out of the caches; worth it before some thousand values.
  void prefetch() const;
  // Both must have been made with the same tail capacity.
  void merge(const Histogram& other);

  // Throws Error(kNumeric) if there was a NaN or an infinity.
  Distribution finish() const;
  bool finite() const;  // there was none

  // What merges and finishes to the same bits, in some kilobytes; only if it is finite. `read` throws Error(kInput) for
  // what `write` cannot have written. A change of either, or of what is counted, is a new kCalibrationVersion
  // (workflow/calibration_part.h).
  void write(ByteWriter& out) const;
  static Histogram read(ByteReader& in);

  size_t tail_capacity() const { return tail_capacity_; }
  uint64_t count() const { return count_; }

 private:
  void degrade();  // from exact counts to buckets

  size_t tail_capacity_;
  uint64_t count_ = 0;
  std::unique_ptr<ValueCounts> exact_;  // null once degraded
  std::unique_ptr<LinearHistogram> buckets_;
};

// What `finish` shares with that of SampledHistogram.
// The tail of one sign as atoms, ascending; the last weighs `largest_count`.
std::vector<Segment> tail_atoms(const Tail& tail, uint64_t largest_count);
[[noreturn]] void fail_not_finite();

}  // namespace amct

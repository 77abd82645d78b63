// The statistic of a tensor with more values than a search needs: every value takes part in what must be exact (the
// number of values and of zeros, the extremes and how many equal them, the tails beyond the percentiles), a part of
// them, chosen by position, says how the rest is distributed. Few-valued tensors stay exact counts of all values.
// Depends on the values and the choice alone: any order and any merging gives the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "exec/histogram.h"
#include "kernels/simd/extremes.h"
#include "kernels/simd/value_counts.h"

namespace amct {

class SampledHistogram {
 public:
  explicit SampledHistogram(size_t tail_capacity);

  // `chosen` are some of `values`.
  void add(std::span<const float> values, std::span<const float> chosen);
  void prefetch() const { chosen_.prefetch(); }
  void merge(const SampledHistogram& other);  // of equal tail capacity

  // Throws Error(kNumeric) if there was a NaN or an infinity.
  Distribution finish() const;
  bool finite() const;  // there was none

  // As Histogram's.
  void write(ByteWriter& out) const;
  static SampledHistogram read(ByteReader& in);
  size_t tail_capacity() const { return chosen_.tail_capacity(); }

 private:
  void degrade();  // from exact counts

  uint64_t count_ = 0;
  std::unique_ptr<ValueCounts> exact_;  // of all values; null once there are too many different ones
  Extremes extremes_;                   // of all values, once `exact_` is null
  Histogram chosen_;
};

}  // namespace amct

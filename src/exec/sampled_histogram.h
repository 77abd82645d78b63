// The statistic of a tensor with more values than a search needs: every value takes part in what must be exact (the
// number of values and of zeros, the extremes and how many equal them, the tails beyond the percentiles), a part of
// them, chosen by position, says how the rest is distributed. Depends on the values and the choice alone: any order and
// any merging gives the same bits.
#pragma once

#include <cstdint>
#include <span>

#include "exec/histogram.h"
#include "kernels/simd/extremes.h"

namespace amct {

class SampledHistogram {
 public:
  explicit SampledHistogram(size_t tail_capacity);

  // All values, and those of them that are chosen; in any order and any pieces.
  void add_all(std::span<const float> values) {
    count_ += values.size();
    extremes_.add(values);
  }
  void add_chosen(std::span<const float> values) { chosen_.add(values); }
  void prefetch() const { chosen_.prefetch(); }
  void merge(const SampledHistogram& other);  // of equal tail capacity

  // Throws Error(kNumeric) if there was a NaN or an infinity.
  Distribution finish() const;
  bool finite() const;  // there was none

  // As Histogram's.
  void write(ByteWriter& out) const;
  static SampledHistogram read(ByteReader& in);
  size_t tail_capacity() const { return chosen_.tail_capacity(); }
  uint64_t count() const { return count_; }  // of all values

 private:
  uint64_t count_ = 0;
  Extremes extremes_;  // of all values
  Histogram chosen_;
};

}  // namespace amct

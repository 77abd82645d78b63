// What is known exactly of values of which only some are counted into buckets: the zeros, the largest of each sign and
// how many equal it, the tails, and the value closest to zero if all have one sign. Like a LinearHistogram without
// buckets; depends on the values alone, not on their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/simd/count_buckets.h"
#include "kernels/simd/scan_values.h"
#include "kernels/simd/tail.h"

namespace amct {

class Extremes {
 public:
  explicit Extremes(size_t tail_capacity) : tails_{Tail(tail_capacity), Tail(tail_capacity)} {}

  void add(std::span<const float> values);
  void add(float value, uint64_t count);
  void merge(const Extremes& other);  // of equal tail capacity

  uint64_t zeros() const { return zeros_; }
  const Tail& tail(bool negative) const { return tails_[negative]; }
  // Magnitude bits of the largest value of a sign, 0 if there is none, and how many there are.
  uint32_t largest(bool negative) const { return largest_[negative]; }
  uint64_t largest_count(bool negative) const { return largest_counts_[negative]; }
  uint32_t least_pattern() const { return least_; }  // as LinearHistogram's
  bool finite() const { return finite_; }

 private:
  ScannedValues scan(std::span<const float> values) const;
  void raise(bool negative, uint32_t magnitude);  // a larger value has come
  void keep(bool negative, uint32_t magnitude);

  uint64_t zeros_ = 0;
  uint32_t least_ = 0xffffffffu;
  bool finite_ = true;
  Tail tails_[2];  // positive, negative
  Magnitudes largest_ = {0, 0};
  uint64_t largest_counts_[2] = {0, 0};
};

}  // namespace amct

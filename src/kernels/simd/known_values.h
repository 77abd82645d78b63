// What is known exactly of any number of float32 values: the zeros, the largest of each sign and how many equal it, the
// tails, and the value closest to zero if all have one sign. What a LinearHistogram and Extremes have in common;
// depends on the values alone, not on their order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/simd/count_buckets.h"
#include "kernels/simd/tail.h"

namespace amct {

class KnownValues {
 public:
  uint64_t zeros() const { return zeros_; }
  const Tail& tail(bool negative) const { return tails_[negative]; }
  // Magnitude bits of the largest value of a sign, 0 if there is none, and how many there are.
  uint32_t largest(bool negative) const { return largest_[negative]; }
  uint64_t largest_count(bool negative) const { return largest_counts_[negative]; }
  // The smallest bit pattern: of the least value from +0 up, else of the value below that is closest to zero; 2^32 - 1
  // if there is none. -0 counts as +0.
  uint32_t least_pattern() const { return least_; }
  bool finite() const { return finite_; }  // there was neither NaN nor infinity

 protected:
  static constexpr uint32_t kInfinity = 0x7f800000u;

  explicit KnownValues(size_t tail_capacity) : tails_{Tail(tail_capacity), Tail(tail_capacity)} {}

  // Counts a value that needs no more than this: zero, NaN, infinity. False for any other, of which only
  // `least_pattern` is brought up to date.
  bool count_special(uint32_t bits, uint64_t count);
  // Adds what a look at some values has found; `equal` are those that equal the largest of their sign.
  void count_found(uint64_t zeros, uint32_t least, const uint64_t (&equal)[2]);
  // Adds what is known of other values but their largest and their tails. Error(kInternal) for other capacities.
  void merge_counts(const KnownValues& other);

  uint64_t zeros_ = 0;
  uint32_t least_ = 0xffffffffu;
  bool finite_ = true;
  Tail tails_[2];  // positive, negative
  Magnitudes largest_ = {0, 0};
  uint64_t largest_counts_[2] = {0, 0};
};

}  // namespace amct

#include "kernels/simd/known_values.h"

#include <algorithm>

#include "base/error.h"

namespace amct {

bool KnownValues::count_special(uint32_t bits, uint64_t count) {
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= kInfinity) {
    finite_ = false;
    return true;
  }
  least_ = std::min(least_, magnitude == 0 ? 0 : bits);
  if (magnitude == 0) zeros_ += count;
  return magnitude == 0;
}

void KnownValues::count_found(uint64_t zeros, uint32_t least, const uint64_t (&equal)[2]) {
  zeros_ += zeros;
  least_ = std::min(least_, least);
  for (const bool negative : {false, true}) largest_counts_[negative] += equal[negative];
}

void KnownValues::merge_counts(const KnownValues& other) {
  AMCT_CHECK(tails_[0].capacity() == other.tails_[0].capacity(), "statistics of different tails cannot merge");
  finite_ = finite_ && other.finite_;
  zeros_ += other.zeros_;
  least_ = std::min(least_, other.least_);
}

}  // namespace amct

// One look at values of which no histogram is made: their range, and how many of them are zero or equal the largest.
// Costs little more than reading them.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/simd/count_buckets.h"

namespace amct {

struct ScannedValues {
  ChunkRange range;
  uint64_t zeros = 0;
  uint64_t equal[2] = {0, 0};  // values that equal `largest` of their sign
};

// At most 2^31 values; `largest` holds magnitudes, 0 = none.
ScannedValues scan_values(std::span<const float> values, const Magnitudes& largest);

// The same where a zero has been seen before and no negative value (behind a ReLU), with half the work: `range.least`
// stays 0. False if there is a negative value after all, or -0; then `result` says nothing.
bool scan_positive_values(std::span<const float> values, uint32_t largest, ScannedValues& result);

}  // namespace amct

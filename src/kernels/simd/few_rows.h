// Matrix products of a few rows: attention of one new token, where setting up a general product costs more than it
// saves and the other operand is read once.
#pragma once

#include <cstdint>

namespace amct {

// y (rows, n) = a (rows, k) b', b (n, k)
void few_rows_times_transposed(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y);

// y (rows, n) = a (rows, k) b, b (k, n)
void few_rows_times(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y);

}  // namespace amct

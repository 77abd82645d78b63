// Sums of rows, element by element, in the order of the rows: the same bits on every processor.
#pragma once

#include <cstdint>

namespace amct {

// sums[c] += rows[0][c], += rows[1][c], …
void add_rows(const float* rows, int64_t count, int64_t columns, float* sums);

}  // namespace amct

// Sums of floats at the speed of memory, with the instruction set chosen at run time.
//
// Several partial sums run side by side, so that long sums lose less than a plain loop would; the order of additions is
// fixed for one instruction set.
#pragma once

#include <cstddef>

namespace amct {

// row[0] + … + row[count - 1].
float sum_row(const float* row, size_t count);

// sums[i] = rows[i] + rows[width + i] + … over `count` rows of `width` elements.
void sum_rows(const float* rows, size_t count, size_t width, float* sums);

}  // namespace amct

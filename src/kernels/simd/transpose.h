// Transposition of 32-bit elements in squares of four by four registers.
#pragma once

#include <cstdint>

namespace amct {

// target[r * target_stride + c] = source[c * source_stride + r] for 0 <= r < rows, 0 <= c < columns.
void transpose_32(const uint32_t* source, int64_t source_stride, int64_t rows, int64_t columns, uint32_t* target,
                  int64_t target_stride);

}  // namespace amct

// Averages over windows of bytes, channels last: the exact sum of x - x_zero over the elements in the input, pads left
// out, then float32(sum) / float32(count).
#pragma once

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// `shape`: as many channels out as in. `counts`: of each output position, what its sum is divided by. Windows have
// fewer than 2^23 elements.
void byte_average_pool(const IntConvShape& shape, const IntInput& x, const int64_t* counts, float* y, int threads);

}  // namespace amct

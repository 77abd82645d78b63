// The sums of windows of integers that average pooling divides.
#pragma once

#include <cstdint>

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// Sums of the window's elements minus x_zero each, pads left out: the part of average pooling that is exact.
// `shape`: as many channels out as in.
void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums);

}  // namespace amct

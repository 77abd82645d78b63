// Maxima over windows of bytes, channels last. Pads never win; a window of pads alone has the
// least value of the type.
#pragma once

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// `shape`: as many channels out as in; x and y hold int8_t if `is_signed`, else uint8_t.
void byte_max_pool(const IntConvShape& shape, const void* x, bool is_signed, void* y, int threads);

}  // namespace amct

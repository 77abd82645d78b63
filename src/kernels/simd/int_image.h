// Between the layouts of activations and the padded channels-last image that the integer kernels read, one sample at a
// time: windows of it are rows of contiguous values at fixed offsets (window_offsets), without a question about edges.
// Values become 16-bit (fill_image) or unsigned integers (fill_unsigned), which is where zero points are dealt with.
#pragma once

#include <cstdint>

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// Writes sample `n` of x, in the type and layout that it has, into `image` (extents `padded`, channels last). Types of
// 8 bits lose their zero point on the way, and pads become zero; 16-bit values keep it, and pads become the zero point.
// Returns the zero point that is left in the image.
int32_t fill_image(const IntConvShape& shape, const IntConvShape::Spatial& padded, const IntInput& x, int64_t n,
                   int16_t* image);

// The same for 8-bit types into unsigned integers, uint8_t or uint16_t: 128 is added to signed values, pads become
// `pad`.
template <typename To>
void fill_unsigned(const IntConvShape& shape, const IntConvShape::Spatial& padded, const IntInput& x, int64_t n, To pad,
                   To* image);

// Stores rows (pixels [begin, end), all output channels) of sample `n`, with the bias added modulo the width of Acc.
// Channels last, `rows` may be the place in `y` itself.
template <typename Acc>
void store_rows(const IntConvShape& shape, const Acc* rows, int64_t n, int64_t begin, int64_t end, const int32_t* bias,
                Acc* y);

}  // namespace amct

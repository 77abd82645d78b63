// One pixel of a depthwise convolution of integers, with the instruction set chosen at run time: for layers that
// byte_depthwise.h does not take, above all those with inputs or weights of 16 bits.
#pragma once

#include <cstdint>
#include <span>

namespace amct {

// sums[c] = sum over s of x[offsets[s] + c] * weights[s * channels + c] for c < channels, wrapping around at 32 bits.
void int_depthwise(const int16_t* x, std::span<const int64_t> offsets, const int16_t* weights, int64_t channels,
                   int32_t* sums);

}  // namespace amct

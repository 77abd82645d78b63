// The 8- and 4-bit floating types as storage: conversions to and from float.
//
//                  exponent  mantissa  bias   largest  infinity  NaN
//   float8e4m3fn      4         3       7       448      none    S.1111.111
//   float8e4m3fnuz    4         3       8       240      none    1.0000.000 (no negative zero)
//   float8e5m2        5         2      15     57344      yes     S.11111.{01, 10, 11}
//   float8e5m2fnuz    5         2      16     57344      none    1.00000.00 (no negative zero)
//   float4e2m1        2         1       1         6      none    none
#pragma once

#include <array>
#include <cstdint>

#include "ir/dtype.h"

namespace amct {

bool is_small_float(DType dtype);

// The values of all codes; those of float4e2m1 repeat every 16.
const std::array<float, 256>& small_float_values(DType dtype);

// The code of the nearest value, ties to even. Beyond the largest, infinity included: with `saturate` the largest, else
// infinity if the type has it, or NaN. (For the infinity of the fnuz types ONNX's text says NaN; its data, its
// reference implementation and ONNX Runtime saturate.) float4e2m1 always saturates and takes NaN for the largest.
uint8_t small_float_code(DType dtype, float value, bool saturate = true);

}  // namespace amct

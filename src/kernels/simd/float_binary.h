// Element-wise functions of two float32 planes, either of which may repeat along rows or columns.
#pragma once

#include <cstdint>

namespace amct {

enum class FloatBinary {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,
  kMax,    // NaN if either is
  kPrelu,  // a < 0 ? a b : a
};

// One operand of `rows` by `cols` elements: element (r, c) lies at data[r * row_stride + c * col_stride].
struct FloatPlane {
  const float* data;
  int64_t row_stride;
  int64_t col_stride;  // 0 or 1
};

// out[r * cols + c] = f(a(r, c), b(r, c)). `out` may be the memory of a dense operand.
void float_binary(FloatBinary function, const FloatPlane& a, const FloatPlane& b, float* out, int64_t rows,
                  int64_t cols);

}  // namespace amct

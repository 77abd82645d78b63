// Normalization of float32 rows: layer and RMS normalization over trailing axes.
//
//   m = mean of the row (0 unless `centre`), s = mean of (x - m)^2, y_i = (x_i - m) / sqrt(s + epsilon) scale_i +
//   bias_i
//
// Two passes over the row, so that a large mean costs no digits. The order of additions depends on the instruction set
// alone.
#pragma once

#include <cstdint>

namespace amct {

struct RowNorm {
  int64_t columns = 0;
  const float* scale = nullptr;  // `columns` elements
  const float* bias = nullptr;   // `columns` elements, or null
  double epsilon = 0;
  bool centre = true;
};

// One row; `y` may be `x`. `mean` and `factor` (1 / sqrt(s + epsilon)) are stored unless null.
void float_row_norm(const RowNorm& norm, const float* x, float* y, float* mean, float* factor);

}  // namespace amct

// The elements of pooling windows in channels-last images of bytes.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// Fills `elements` with those of the window at an output position that lie in the input: where their channels begin.
inline void list_window(const IntConvShape& s, const IntConvShape::Spatial& at, const uint8_t* x,
                        std::vector<const void*>& elements) {
  elements.clear();
  IntConvShape::Spatial begin, end;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t first = at[i] * s.strides[i] - s.pads[i];
    begin[i] = first >= 0 ? 0 : (-first + s.dilations[i] - 1) / s.dilations[i];
    end[i] = std::min(s.kernel[i], (s.input[i] - first + s.dilations[i] - 1) / s.dilations[i]);
  }
  for (int64_t d = begin[0]; d < end[0]; ++d) {
    for (int64_t h = begin[1]; h < end[1]; ++h) {
      const int64_t row = ((at[0] * s.strides[0] - s.pads[0] + d * s.dilations[0]) * s.input[1] + at[1] * s.strides[1] -
                           s.pads[1] + h * s.dilations[1]) *
                          s.input[2];
      for (int64_t w = begin[2]; w < end[2]; ++w) {
        elements.push_back(x + (row + at[2] * s.strides[2] - s.pads[2] + w * s.dilations[2]) * s.in_channels);
      }
    }
  }
}

}  // namespace amct

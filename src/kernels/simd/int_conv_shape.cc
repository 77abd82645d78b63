#include "kernels/simd/int_conv_shape.h"

namespace amct {

std::vector<int64_t> window_offsets(const IntConvShape& s, const IntConvShape::Spatial& extents, bool join_rows) {
  std::vector<int64_t> offsets;
  for (int64_t d = 0; d < s.kernel[0]; ++d) {
    for (int64_t h = 0; h < s.kernel[1]; ++h) {
      const int64_t row = (d * s.dilations[0] * extents[1] + h * s.dilations[1]) * extents[2];
      for (int64_t w = 0; w < (join_rows ? 1 : s.kernel[2]); ++w) {
        offsets.push_back((row + w * s.dilations[2]) * s.in_channels);
      }
    }
  }
  return offsets;
}

}  // namespace amct

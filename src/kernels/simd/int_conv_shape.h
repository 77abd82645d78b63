// Extents and operands that the integer convolutions share (int_conv.h has their definition): forward, transposed,
// depthwise, by bytes or by 16-bit integers, and the sums of windows that average pooling divides. One and two spatial
// axes are three with leading ones, so that the kernels know one case.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace amct {

// Extents with three spatial axes; leading ones stand for missing axes.
struct IntConvShape {
  using Spatial = std::array<int64_t, 3>;
  int64_t batch = 1;
  int64_t groups = 1;
  int64_t in_channels = 1;   // of all groups
  int64_t out_channels = 1;  // of all groups
  Spatial input{1, 1, 1}, output{1, 1, 1}, kernel{1, 1, 1}, strides{1, 1, 1}, dilations{1, 1, 1},
      pads{0, 0, 0};           // begin
  bool channels_last = false;  // of x and y

  int64_t in_group() const { return in_channels / groups; }
  int64_t out_group() const { return out_channels / groups; }
  static int64_t product(const Spatial& s) { return s[0] * s[1] * s[2]; }

  // Extents of the image that all windows together read, pads included.
  Spatial padded() const {
    Spatial extents{};
    for (size_t i = 0; i < 3; ++i) {
      if (output[i] > 0) extents[i] = (output[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1;
    }
    return extents;
  }
};

// Where the windows of a channels-last image with these extents, pads included, lie; in values.
// The first position of the window of output pixel `at`.
inline int64_t window_begin(const IntConvShape& s, const IntConvShape::Spatial& extents,
                            const IntConvShape::Spatial& at) {
  const int64_t row = at[0] * s.strides[0] * extents[1] + at[1] * s.strides[1];
  return (row * extents[2] + at[2] * s.strides[2]) * s.in_channels;
}
// From it to all of the window's positions, row by row; to the beginnings of its rows if `join_rows`.
std::vector<int64_t> window_offsets(const IntConvShape& s, const IntConvShape::Spatial& extents, bool join_rows);

// x and its zero point; the type is one of int8_t, uint8_t, int16_t.
struct IntInput {
  const void* data = nullptr;
  enum class Type { kInt8, kUInt8, kInt16 } type = Type::kInt8;
  int32_t zero = 0;

  // True if the zero point, and so a pad, is a value of the type.
  bool zero_fits() const {
    switch (type) {
      case Type::kInt8: return zero >= -128 && zero <= 127;
      case Type::kUInt8: return zero >= 0 && zero <= 255;
      case Type::kInt16: break;
    }
    return zero >= -32768 && zero <= 32767;
  }
};

}  // namespace amct

// Resizing along axes, as the ONNX standard defines it: coordinates of the output mapped to the input, then the nearest
// element or a weighted sum of neighbours, axis by axis.
//
// With s = scale, n = input extent, m = output extent, x = output index, the input coordinate is
//   half_pixel            (x + 1/2) / s - 1/2
//   half_pixel_symmetric  n/2 (1 - m / (s n)) + (x + 1/2) / s - 1/2
//   pytorch_half_pixel    as half_pixel, but -1/2 where m = 1
//   align_corners         x (n - 1) / (s n - 1), 0 where s n = 1
//   asymmetric            x / s
//   tf_half_pixel_for_nn  (x + 1/2) / s
//   tf_crop_and_resize    (n - 1) (r0 + x (r1 - r0) / (s n - 1)), (n - 1)(r0 + r1)/2 where s n = 1; outside = a
//   constant
#pragma once

#include <cstdint>
#include <vector>

#include "ir/tensor.h"

namespace amct {

enum class Interpolation { kNearest, kLinear, kCubic };
enum class Coordinates {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfHalfPixelForNn,
  kTfCropAndResize,
};
enum class NearestRounding {
  kRoundPreferFloor,
  kRoundPreferCeil,
  kFloor,
  kCeil,
  kCeilWhenShrinking,  // floor when growing: what versions before opset 11 did
};

struct ResizeRule {
  Interpolation mode = Interpolation::kNearest;
  Coordinates coordinates = Coordinates::kHalfPixel;
  NearestRounding rounding = NearestRounding::kRoundPreferFloor;
  bool antialias = false;        // widen the filter when shrinking
  bool exclude_outside = false;  // neighbours outside weigh nothing; otherwise the edge is repeated
  double cubic_a = -0.75;
  double extrapolation = 0;  // of kTfCropAndResize
};

struct ResizeAxis {
  int64_t input = 1;
  int64_t output = 1;
  double scale = 1;
  double roi_begin = 0;  // of kTfCropAndResize, relative to the extent
  double roi_end = 1;
};

// `axes` has one entry per axis of the views. Throws Error(kUnsupported) on a type that cannot be interpolated.
void resize(const ResizeRule& rule, const std::vector<ResizeAxis>& axes, const TensorView& input,
            const MutableView& output);

}  // namespace amct

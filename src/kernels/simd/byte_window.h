// The elements of pooling windows in channels-last images. Only those within the image count, so that a window may have
// none: pads are never read.
#pragma once

#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/simd/int_conv_shape.h"

namespace amct {

// Fills `elements` with those of the window at an output position that lie in the input: where their channels begin.
template <typename T>
void list_window(const IntConvShape& s, const IntConvShape::Spatial& at, const T* x, std::vector<const T*>& elements) {
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

// Calls f(elements, output position, index of its first result) for the windows of all samples; threads share rows.
template <typename F>
void each_window(const IntConvShape& shape, const void* x, int threads, F&& f) {
  struct alignas(64) List {  // on a cache line of its own
    std::vector<const uint8_t*> elements;
  };
  const IntConvShape::Spatial& out = shape.output;
  const int64_t rows = out[0] * out[1];
  IntConvShape::Spatial most;  // elements of a window within the input
  for (size_t i = 0; i < 3; ++i) most[i] = std::min(shape.kernel[i], shape.input[i]);
  std::vector<List> lists(static_cast<size_t>(threads));  // whole before the threads start: none may fail for memory
  for (List& list : lists) list.elements.reserve(static_cast<size_t>(IntConvShape::product(most)));
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < shape.batch * rows; ++row) {
    std::vector<const uint8_t*>& elements = lists[static_cast<size_t>(omp_get_thread_num())].elements;
    const auto* image =
        static_cast<const uint8_t*>(x) + row / rows * IntConvShape::product(shape.input) * shape.in_channels;
    for (int64_t w = 0; w < out[2]; ++w) {
      list_window(shape, {row % rows / out[1], row % out[1], w}, image, elements);
      f(elements, row % rows * out[2] + w, (row * out[2] + w) * shape.in_channels);
    }
  }
}

}  // namespace amct

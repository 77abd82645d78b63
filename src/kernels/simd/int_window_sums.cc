#include "kernels/simd/int_window_sums.h"

#include <vector>

#include "kernels/simd/byte_window.h"
#include "kernels/simd/int_image.h"

namespace amct {

void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums) {
  IntConvShape plain = shape;  // the image as it is: windows that reach beyond it are cut
  plain.pads = {0, 0, 0};
  const IntConvShape::Spatial& out = shape.output;
  const int64_t pixels = IntConvShape::product(out), channels = shape.in_channels;
  std::vector<int16_t> image(static_cast<size_t>(IntConvShape::product(shape.input) * channels));
  std::vector<int64_t> rows(static_cast<size_t>(pixels * channels));
  std::vector<const int16_t*> elements;
  for (int64_t n = 0; n < shape.batch; ++n) {
    const int32_t left = fill_image(plain, shape.input, x, n, image.data());
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      list_window(shape, {pixel / (out[1] * out[2]), pixel / out[2] % out[1], pixel % out[2]}, image.data(), elements);
      int64_t* row = rows.data() + pixel * channels;
      std::fill_n(row, channels, int64_t{0});
      for (const int16_t* element : elements) {
        for (int64_t c = 0; c < channels; ++c) row[c] += element[c] - left;
      }
    }
    store_rows(shape, rows.data(), n, 0, pixels, nullptr, sums);
  }
}

}  // namespace amct

#include "kernels/simd/int_image.h"

#include <algorithm>
#include <cstring>

#include "base/wrapping.h"

namespace amct {
namespace {

// One row of pixels along the last axis, channels last, `shift` added to each value.
template <typename T, typename To>
void copy_pixels(const T* x, int64_t count, int64_t channels, int64_t pixel_stride, int64_t channel_stride,
                 int32_t shift, To* to) {
  if (channel_stride == 1) {
    if constexpr (sizeof(T) == 1 && sizeof(To) == 1) {
      if (shift == 0) {
        std::memcpy(to, x, static_cast<size_t>(count * channels));
      } else {
        for (int64_t i = 0; i < count * channels; ++i)
          to[i] = static_cast<To>(static_cast<To>(x[i]) + static_cast<To>(shift));
      }
      return;
    }
    for (int64_t i = 0; i < count * channels; ++i) to[i] = static_cast<To>(x[i] + shift);
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const T* from = x + c * channel_stride;
    for (int64_t i = 0; i < count; ++i) to[i * channels + c] = static_cast<To>(from[i * pixel_stride] + shift);
  }
}

template <typename T, typename To>
void fill(const IntConvShape& shape, const IntConvShape::Spatial& padded, const T* x, int32_t shift, To pad,
          To* image) {
  const int64_t channels = shape.in_channels;
  const int64_t pixel_stride = shape.channels_last ? channels : 1;
  const int64_t channel_stride = shape.channels_last ? 1 : IntConvShape::product(shape.input);
  const int64_t row_values = padded[2] * channels;
  const int64_t left = std::min(shape.pads[2], padded[2]);
  for (int64_t d = 0; d < padded[0]; ++d) {
    for (int64_t h = 0; h < padded[1]; ++h, image += row_values) {
      const int64_t from_d = d - shape.pads[0];
      const int64_t from_h = h - shape.pads[1];
      const bool inside = from_d >= 0 && from_d < shape.input[0] && from_h >= 0 && from_h < shape.input[1];
      const int64_t count = inside ? std::clamp<int64_t>(padded[2] - left, 0, shape.input[2]) : 0;
      std::fill_n(image, (count == 0 ? padded[2] : left) * channels, pad);
      if (count == 0) continue;
      const int64_t pixel = (from_d * shape.input[1] + from_h) * shape.input[2];
      copy_pixels(x + pixel * pixel_stride, count, channels, pixel_stride, channel_stride, shift,
                  image + left * channels);
      std::fill_n(image + (left + count) * channels, (padded[2] - left - count) * channels, pad);
    }
  }
}

}  // namespace

int32_t fill_image(const IntConvShape& shape, const IntConvShape::Spatial& padded, const IntInput& x, int64_t n,
                   int16_t* image) {
  const int64_t at = n * shape.in_channels * IntConvShape::product(shape.input);
  switch (x.type) {
    case IntInput::Type::kInt8:
      fill(shape, padded, static_cast<const int8_t*>(x.data) + at, -x.zero, int16_t{0}, image);
      return 0;
    case IntInput::Type::kUInt8:
      fill(shape, padded, static_cast<const uint8_t*>(x.data) + at, -x.zero, int16_t{0}, image);
      return 0;
    case IntInput::Type::kInt16: break;
  }
  fill(shape, padded, static_cast<const int16_t*>(x.data) + at, 0, static_cast<int16_t>(x.zero), image);
  return x.zero;
}

template <typename To>
void fill_unsigned(const IntConvShape& shape, const IntConvShape::Spatial& padded, const IntInput& x, int64_t n, To pad,
                   To* image) {
  const int64_t at = n * shape.in_channels * IntConvShape::product(shape.input);
  if (x.type == IntInput::Type::kInt8) {
    fill(shape, padded, static_cast<const int8_t*>(x.data) + at, 128, pad, image);
  } else {
    fill(shape, padded, static_cast<const uint8_t*>(x.data) + at, 0, pad, image);
  }
}

template void fill_unsigned(const IntConvShape&, const IntConvShape::Spatial&, const IntInput&, int64_t, uint8_t,
                            uint8_t*);
template void fill_unsigned(const IntConvShape&, const IntConvShape::Spatial&, const IntInput&, int64_t, uint16_t,
                            uint16_t*);

template <typename Acc>
void store_rows(const IntConvShape& shape, const Acc* rows, int64_t n, int64_t begin, int64_t end, const int32_t* bias,
                Acc* y) {
  const int64_t channels = shape.out_channels;
  const int64_t pixels = IntConvShape::product(shape.output);
  y += n * channels * pixels + begin * (shape.channels_last ? channels : 1);
  if (shape.channels_last) {
    if (rows != y) std::copy_n(rows, (end - begin) * channels, y);
    for (int64_t p = 0; p < end - begin && bias != nullptr; ++p, y += channels) {
      for (int64_t c = 0; c < channels; ++c) y[c] = wrapping_add(y[c], bias[c]);
    }
    return;
  }
  for (int64_t p = 0; p < end - begin; ++p) {
    for (int64_t c = 0; c < channels; ++c) {
      y[c * pixels + p] = wrapping_add(rows[p * channels + c], bias != nullptr ? bias[c] : 0);
    }
  }
}

template void store_rows(const IntConvShape&, const int32_t*, int64_t, int64_t, int64_t, const int32_t*, int32_t*);
template void store_rows(const IntConvShape&, const int64_t*, int64_t, int64_t, int64_t, const int32_t*, int64_t*);

}  // namespace amct

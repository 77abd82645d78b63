#include "kernels/simd/int_conv_transpose.h"

#include <algorithm>

#include "kernels/simd/int_image.h"

namespace amct {
namespace {

using Spatial = IntConvShape::Spatial;

template <typename Acc>
Acc wrapping_sub(Acc a, int64_t b) {
  using Unsigned = std::make_unsigned_t<Acc>;
  return static_cast<Acc>(static_cast<Unsigned>(a) - static_cast<Unsigned>(b));
}

}  // namespace

template <typename T>
IntConvTranspose::IntConvTranspose(const IntConvShape& shape, const T* weights, int64_t stride_out, int64_t stride_in)
    : shape_(shape) {
  const int64_t positions = IntConvShape::product(shape.kernel);
  const int64_t depth = shape.in_group();
  std::vector<int16_t> ordered(shape.out_group() * positions * depth);
  for (int64_t g = 0; g < shape.groups; ++g) {
    const T* group = weights + g * shape.in_group() * shape.out_group() * positions;
    for (int64_t o = 0; o < shape.out_group(); ++o) {
      for (int64_t s = 0; s < positions; ++s) {
        for (int64_t i = 0; i < depth; ++i) {
          ordered[(o * positions + s) * depth + i] = group[o * stride_out + i * stride_in + s];
        }
      }
    }
    groups_.push_back(PackedWeights::pack(ordered.data(), shape.out_group() * positions, depth, depth, 1));
  }
}

// Multiplies every input pixel with all weights and adds the products where they belong in `sums` (pixels, channels).
template <typename Acc>
void IntConvTranspose::scatter_group(const int16_t* image, int64_t group, int32_t zero, Acc* sums) const {
  const PackedWeights& w = groups_[group];
  const int64_t lda = w.padded_depth();
  const int64_t ldc = w.padded_rows();
  const int64_t positions = IntConvShape::product(shape_.kernel);
  const Spatial& in = shape_.input;
  const Spatial& out = shape_.output;
  std::vector<int16_t> row(lda);
  std::vector<int32_t> narrow(ldc);
  std::vector<int64_t> wide(ldc);
  for (int64_t pixel = 0; pixel < IntConvShape::product(in); ++pixel) {
    std::copy_n(image + pixel * shape_.in_channels + group * shape_.in_group(), shape_.in_group(), row.data());
    if constexpr (sizeof(Acc) == 8) {
      int_gemm_wide(row.data(), lda, 1, w, wide.data(), ldc, narrow.data());
    } else {
      int_gemm(row.data(), lda, 1, w, narrow.data(), ldc);
    }
    const Spatial at = {pixel / (in[1] * in[2]), pixel / in[2] % in[1], pixel % in[2]};
    for (int64_t s = 0; s < positions; ++s) {
      const Spatial k = {s / (shape_.kernel[1] * shape_.kernel[2]), s / shape_.kernel[2] % shape_.kernel[1],
                         s % shape_.kernel[2]};
      Spatial to;
      bool inside = true;
      for (size_t i = 0; i < 3; ++i) {
        to[i] = at[i] * shape_.strides[i] + k[i] * shape_.dilations[i] - shape_.pads[i];
        inside = inside && to[i] >= 0 && to[i] < out[i];
      }
      if (!inside) continue;
      Acc* sum = sums + ((to[0] * out[1] + to[1]) * out[2] + to[2]) * shape_.out_channels + group * shape_.out_group();
      for (int64_t o = 0; o < shape_.out_group(); ++o) {
        const int64_t n = o * positions + s;
        const int64_t product = sizeof(Acc) == 8 ? wide[n] : narrow[n];
        sum[o] = wrapping_sub(sum[o], zero * w.row_sums()[n] - product);
      }
    }
  }
}

template <typename Acc>
void IntConvTranspose::run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const {
  IntConvShape plain = shape_;  // the input as it is: pads belong to the output
  plain.pads = {0, 0, 0};
  const int64_t pixels = IntConvShape::product(shape_.output);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t n = 0; n < shape_.batch; ++n) {
    std::vector<int16_t> image(IntConvShape::product(shape_.input) * shape_.in_channels);
    const int32_t left = fill_image(plain, shape_.input, x, n, image.data());
    std::vector<Acc> sums(pixels * shape_.out_channels);
    for (int64_t g = 0; g < shape_.groups; ++g) scatter_group(image.data(), g, left, sums.data());
    store_rows(shape_, sums.data(), n, 0, pixels, bias, y);
  }
}

void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums) {
  IntConvShape plain = shape;
  plain.pads = {0, 0, 0};
  const Spatial& in = shape.input;
  const Spatial& out = shape.output;
  const int64_t pixels = IntConvShape::product(out);
  const int64_t channels = shape.in_channels;
  std::vector<int16_t> image(IntConvShape::product(in) * channels);
  std::vector<int64_t> rows(pixels * channels);
  for (int64_t n = 0; n < shape.batch; ++n) {
    const int32_t left = fill_image(plain, in, x, n, image.data());
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      const Spatial at = {pixel / (out[1] * out[2]), pixel / out[2] % out[1], pixel % out[2]};
      int64_t* row = rows.data() + pixel * channels;
      std::fill_n(row, channels, int64_t{0});
      for (int64_t s = 0; s < IntConvShape::product(shape.kernel); ++s) {
        const Spatial k = {s / (shape.kernel[1] * shape.kernel[2]), s / shape.kernel[2] % shape.kernel[1],
                           s % shape.kernel[2]};
        Spatial from;
        bool inside = true;
        for (size_t i = 0; i < 3; ++i) {
          from[i] = at[i] * shape.strides[i] + k[i] * shape.dilations[i] - shape.pads[i];
          inside = inside && from[i] >= 0 && from[i] < in[i];
        }
        if (!inside) continue;
        const int16_t* element = image.data() + ((from[0] * in[1] + from[1]) * in[2] + from[2]) * channels;
        for (int64_t c = 0; c < channels; ++c) row[c] += element[c] - left;
      }
    }
    store_rows(shape, rows.data(), n, 0, pixels, nullptr, sums);
  }
}

template IntConvTranspose::IntConvTranspose(const IntConvShape&, const int8_t*, int64_t, int64_t);
template void IntConvTranspose::run(const IntInput&, const int32_t*, int32_t*, int) const;
template void IntConvTranspose::run(const IntInput&, const int32_t*, int64_t*, int) const;

}  // namespace amct

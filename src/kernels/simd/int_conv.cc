#include "kernels/simd/int_conv.h"

#include <algorithm>

#include "kernels/simd/int_depthwise.h"
#include "kernels/simd/int_image.h"

namespace amct {
namespace {

using Spatial = IntConvShape::Spatial;

// Pixels that are multiplied at once: patches that stay in the cache.
int64_t tile_pixels(int64_t depth) { return std::clamp<int64_t>((1 << 16) / std::max<int64_t>(depth, 1), 8, 256); }

template <typename Acc>
Acc wrapping_sub(Acc a, int64_t b) {
  using Unsigned = std::make_unsigned_t<Acc>;
  return static_cast<Acc>(static_cast<Unsigned>(a) - static_cast<Unsigned>(b));
}

}  // namespace

template <typename T>
IntConv::IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero) : shape_(shape) {
  for (size_t i = 0; i < 3; ++i) {
    padded_[i] = (shape.output[i] - 1) * shape.strides[i] + (shape.kernel[i] - 1) * shape.dilations[i] + 1;
  }
  const int64_t positions = IntConvShape::product(shape.kernel);
  const int64_t depth = positions * shape.in_group();
  std::vector<int16_t> ordered(shape.out_group() * depth);
  for (int64_t group = 0; group < shape.groups; ++group) {
    for (int64_t o = 0; o < shape.out_group(); ++o) {
      const int64_t channel = group * shape.out_group() + o;
      const int32_t zero = weight_zero != nullptr ? weight_zero[channel] : 0;
      for (int64_t i = 0; i < shape.in_group(); ++i) {
        for (int64_t s = 0; s < positions; ++s) {
          ordered[o * depth + s * shape.in_group() + i] =
              static_cast<int16_t>(weights[(channel * shape.in_group() + i) * positions + s] - zero);
        }
      }
    }
    if (is_depthwise()) {
      depthwise_.resize(positions * shape.groups);
      for (int64_t s = 0; s < positions; ++s) depthwise_[s * shape.groups + group] = ordered[s];
      int64_t sum = 0;
      for (int64_t s = 0; s < positions; ++s) sum += ordered[s];
      weight_sums_.push_back(sum);
    } else {
      groups_.push_back(PackedWeights::pack(ordered.data(), shape.out_group(), depth, depth, 1));
      weight_sums_.insert(weight_sums_.end(), groups_.back().row_sums().begin(), groups_.back().row_sums().end());
    }
  }
}

// The first element of the patch of an output pixel.
const int16_t* IntConv::patch(const int16_t* image, int64_t pixel) const {
  const int64_t w = pixel % shape_.output[2];
  const int64_t h = pixel / shape_.output[2] % shape_.output[1];
  const int64_t d = pixel / (shape_.output[2] * shape_.output[1]);
  const int64_t at = (d * shape_.strides[0] * padded_[1] + h * shape_.strides[1]) * padded_[2] + w * shape_.strides[2];
  return image + at * shape_.in_channels;
}

void IntConv::copy_patch(const int16_t* from, int64_t group, int16_t* to) const {
  const int64_t channels = shape_.in_group();
  from += group * channels;
  const bool dense_rows = shape_.groups == 1 && shape_.dilations[2] == 1;
  for (int64_t d = 0; d < shape_.kernel[0]; ++d) {
    for (int64_t h = 0; h < shape_.kernel[1]; ++h) {
      const int64_t row = (d * shape_.dilations[0] * padded_[1] + h * shape_.dilations[1]) * padded_[2];
      const int16_t* source = from + row * shape_.in_channels;
      if (dense_rows) {
        to = std::copy_n(source, shape_.kernel[2] * channels, to);
        continue;
      }
      for (int64_t w = 0; w < shape_.kernel[2]; ++w) {
        to = std::copy_n(source + w * shape_.dilations[2] * shape_.in_channels, channels, to);
      }
    }
  }
}

template <typename Acc>
void IntConv::group_tile(const int16_t* image, int64_t group, int64_t begin, int64_t end, int32_t zero,
                         Acc* rows) const {
  const PackedWeights& w = groups_[group];
  const int64_t lda = w.padded_depth();
  const Spatial one = {1, 1, 1};
  const bool lies_in_image =
      shape_.groups == 1 && shape_.kernel == one && shape_.strides == one && lda == shape_.in_channels;
  std::vector<int16_t> patches(lies_in_image ? 0 : (end - begin) * lda);
  for (int64_t pixel = begin; pixel < end && !lies_in_image; ++pixel) {
    copy_patch(patch(image, pixel), group, patches.data() + (pixel - begin) * lda);
  }
  const int16_t* depths = lies_in_image ? patch(image, begin) : patches.data();
  const int64_t ldc = w.padded_rows();
  std::vector<int32_t> narrow((end - begin) * ldc);
  std::vector<int64_t> wide;
  const Acc* products = nullptr;
  if constexpr (sizeof(Acc) == 8) {
    wide.resize((end - begin) * ldc);
    int_gemm_wide(depths, lda, end - begin, w, wide.data(), ldc, narrow.data());
    products = wide.data();
  } else {
    int_gemm(depths, lda, end - begin, w, narrow.data(), ldc);
    products = narrow.data();
  }
  const int64_t first = group * shape_.out_group();
  for (int64_t p = 0; p < end - begin; ++p) {
    if (zero == 0) {
      std::copy_n(products + p * ldc, shape_.out_group(), rows + p * shape_.out_channels + first);
      continue;
    }
    for (int64_t o = 0; o < shape_.out_group(); ++o) {
      rows[p * shape_.out_channels + first + o] = wrapping_sub(products[p * ldc + o], zero * weight_sums_[first + o]);
    }
  }
}

template <typename Acc>
void IntConv::depthwise_tile(const int16_t* image, int64_t begin, int64_t end, Acc* rows) const {
  const int64_t channels = shape_.out_channels;
  std::vector<int64_t> offsets;  // of the window's positions from a patch's first element
  for (int64_t d = 0; d < shape_.kernel[0]; ++d) {
    for (int64_t h = 0; h < shape_.kernel[1]; ++h) {
      const int64_t row = (d * shape_.dilations[0] * padded_[1] + h * shape_.dilations[1]) * padded_[2];
      for (int64_t w = 0; w < shape_.kernel[2]; ++w) offsets.push_back((row + w * shape_.dilations[2]) * channels);
    }
  }
  for (int64_t pixel = begin; pixel < end; ++pixel, rows += channels) {
    const int16_t* from = patch(image, pixel);
    if constexpr (sizeof(Acc) == 4) {
      int_depthwise(from, offsets, depthwise_.data(), channels, rows);
    } else {
      std::fill_n(rows, channels, Acc{0});
      for (size_t s = 0; s < offsets.size(); ++s) {
        const int16_t* w = depthwise_.data() + static_cast<int64_t>(s) * channels;
        for (int64_t c = 0; c < channels; ++c) rows[c] += Acc{from[offsets[s] + c]} * w[c];
      }
    }
  }
}

template <typename Acc>
void IntConv::run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const {
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t tile = tile_pixels(is_depthwise() ? shape_.out_channels : groups_[0].padded_depth());
  const int64_t tiles = (pixels + tile - 1) / tile;
  std::vector<int16_t> image(IntConvShape::product(padded_) * shape_.in_channels);
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const int32_t left = fill_image(shape_, padded_, x, n, image.data());
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = t * tile;
      const int64_t end = std::min(pixels, begin + tile);
      std::vector<Acc> scratch(shape_.channels_last ? 0 : (end - begin) * shape_.out_channels);
      Acc* rows = shape_.channels_last ? y + (n * pixels + begin) * shape_.out_channels : scratch.data();
      if (is_depthwise()) {
        depthwise_tile(image.data(), begin, end, rows);
        for (int64_t p = 0; p < end - begin && left != 0; ++p) {
          for (int64_t c = 0; c < shape_.out_channels; ++c) {
            Acc& sum = rows[p * shape_.out_channels + c];
            sum = wrapping_sub(sum, left * weight_sums_[c]);
          }
        }
      } else {
        for (int64_t g = 0; g < shape_.groups; ++g) group_tile(image.data(), g, begin, end, left, rows);
      }
      store_rows(shape_, rows, n, begin, end, bias, y);
    }
  }
}

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

void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums, int64_t* counts) {
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
      int64_t count = 0;
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
        ++count;
        const int16_t* element = image.data() + ((from[0] * in[1] + from[1]) * in[2] + from[2]) * channels;
        for (int64_t c = 0; c < channels; ++c) row[c] += element[c] - left;
      }
      counts[pixel] = count;
    }
    store_rows(shape, rows.data(), n, 0, pixels, nullptr, sums);
  }
}

template IntConv::IntConv(const IntConvShape&, const int8_t*, const int32_t*);
template IntConv::IntConv(const IntConvShape&, const uint8_t*, const int32_t*);
template void IntConv::run(const IntInput&, const int32_t*, int32_t*, int) const;
template void IntConv::run(const IntInput&, const int32_t*, int64_t*, int) const;
template IntConvTranspose::IntConvTranspose(const IntConvShape&, const int8_t*, int64_t, int64_t);
template void IntConvTranspose::run(const IntInput&, const int32_t*, int32_t*, int) const;
template void IntConvTranspose::run(const IntInput&, const int32_t*, int64_t*, int) const;

}  // namespace amct

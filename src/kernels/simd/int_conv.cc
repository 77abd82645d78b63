#include "kernels/simd/int_conv.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "kernels/simd/byte_conv.h"
#include "kernels/simd/byte_depthwise.h"
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

bool all_bytes(const std::vector<int16_t>& weights) {
  return std::all_of(weights.begin(), weights.end(), [](int16_t w) { return w >= -128 && w <= 127; });
}

// True if no sum of products of bytes leaves 32 bits.
bool sums_fit(const IntConvShape& shape) {
  const int64_t depth = shape.in_group() * IntConvShape::product(shape.kernel);
  return depth <= std::numeric_limits<int32_t>::max() / (255 * 255);
}

}  // namespace

template <typename T>
IntConv::IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero, const Options& options)
    : shape_(shape), padded_(shape.padded()) {
  const int64_t positions = IntConvShape::product(shape.kernel);
  const int64_t depth = positions * shape.in_group();
  std::vector<int16_t> ordered(static_cast<size_t>(shape.out_channels * depth));
  for (int64_t o = 0; o < shape.out_channels; ++o) {
    const int32_t zero = weight_zero != nullptr ? weight_zero[o] : 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < shape.in_group(); ++i) {
      for (int64_t s = 0; s < positions; ++s) {
        const auto value = static_cast<int16_t>(weights[(o * shape.in_group() + i) * positions + s] - zero);
        ordered[static_cast<size_t>(o * depth + s * shape.in_group() + i)] = value;
        sum += value;
      }
    }
    weight_sums_.push_back(sum);
  }
  if (sums_fit(shape) && is_depthwise()) {
    byte_depthwise_ = std::make_unique<ByteDepthwise>(shape, ordered, options.kernel == 0);
  } else if (sums_fit(shape) && options.kernel < byte_dots().size() &&
             (byte_dots()[options.kernel].value_bytes > 1 || all_bytes(ordered))) {
    bytes_ = std::make_unique<ByteConv>(shape, byte_dots()[options.kernel], ordered);
  }
  const bool has_bytes = bytes_ != nullptr || byte_depthwise_ != nullptr;
  if (!has_bytes || !options.bytes_only) pack_16_bits(ordered);
}

IntConv::~IntConv() = default;
IntConv::IntConv(IntConv&&) noexcept = default;

void IntConv::pack_16_bits(const std::vector<int16_t>& ordered) {
  const int64_t positions = IntConvShape::product(shape_.kernel);
  if (is_depthwise()) {
    depthwise_.resize(ordered.size());
    for (int64_t c = 0; c < shape_.groups; ++c) {
      for (int64_t s = 0; s < positions; ++s) depthwise_[s * shape_.groups + c] = ordered[c * positions + s];
    }
    return;
  }
  const int64_t depth = positions * shape_.in_group();
  for (int64_t group = 0; group < shape_.groups; ++group) {
    const int16_t* from = ordered.data() + group * shape_.out_group() * depth;
    groups_.push_back(PackedWeights::pack(from, shape_.out_group(), depth, depth, 1));
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
void IntConv::depthwise_tile(const int16_t* image, int64_t begin, int64_t end, int32_t zero, Acc* rows) const {
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
    for (int64_t c = 0; c < channels && zero != 0; ++c) rows[c] = wrapping_sub(rows[c], zero * weight_sums_[c]);
  }
}

template <typename F>
void IntConv::each_tile(const IntInput& x, int threads, F&& f) const {
  AMCT_CHECK(!groups_.empty() || !depthwise_.empty(), "weights are packed for this type of input");
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t tile = tile_pixels(is_depthwise() ? shape_.out_channels : groups_[0].padded_depth());
  const int64_t tiles = (pixels + tile - 1) / tile;
  std::vector<int16_t> image(IntConvShape::product(padded_) * shape_.in_channels);
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const int32_t left = fill_image(shape_, padded_, x, n, image.data());
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t t = 0; t < tiles; ++t) f(n, t * tile, std::min(pixels, (t + 1) * tile), image.data(), left);
  }
}

template <typename Acc>
void IntConv::sum_tile(const int16_t* image, int64_t begin, int64_t end, int32_t zero, Acc* rows) const {
  if (is_depthwise()) return depthwise_tile(image, begin, end, zero, rows);
  for (int64_t g = 0; g < shape_.groups; ++g) group_tile(image, g, begin, end, zero, rows);
}

bool IntConv::takes_bytes(const IntInput& x) const {
  return (bytes_ != nullptr || byte_depthwise_ != nullptr) && x.type != IntInput::Type::kInt16 && x.zero_fits();
}

void IntConv::run_bytes(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue,
                        const IntEpilogue::Rows& to, int threads, std::byte* scratch) const {
  const std::vector<int32_t> start = start_values(weight_sums_, bias, unsigned_zero(x));
  std::vector<std::byte> own(scratch == nullptr ? scratch_bytes() : 0);
  auto* image = reinterpret_cast<uint8_t*>(scratch == nullptr ? own.data() : scratch);
  if (bytes_ != nullptr) {
    bytes_->run(x, start, epilogue, to, threads, image);
  } else {
    byte_depthwise_->run(x, start, epilogue, to, threads, image);
  }
}

template <typename Acc>
void IntConv::run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const {
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t values = pixels * shape_.out_channels;
  if (takes_bytes(x)) {
    const IntEpilogue none({}, shape_.out_channels, DType::kInt32);
    if constexpr (sizeof(Acc) == 4) {
      if (shape_.channels_last) return run_bytes(x, bias, none, {y, {}}, threads, nullptr);
    }
    std::vector<int32_t> sums(static_cast<size_t>(shape_.batch * values));
    run_bytes(x, nullptr, none, {sums.data(), {}}, threads, nullptr);
    const std::vector<Acc> wide(sums.begin(), sums.end());
    for (int64_t n = 0; n < shape_.batch; ++n) store_rows(shape_, wide.data() + n * values, n, 0, pixels, bias, y);
    return;
  }
  each_tile(x, threads, [&](int64_t n, int64_t begin, int64_t end, const int16_t* image, int32_t zero) {
    std::vector<Acc> scratch(shape_.channels_last ? 0 : (end - begin) * shape_.out_channels);
    Acc* rows = shape_.channels_last ? y + (n * pixels + begin) * shape_.out_channels : scratch.data();
    sum_tile(image, begin, end, zero, rows);
    store_rows(shape_, rows, n, begin, end, bias, y);
  });
}

void IntConv::run(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
                  int threads, std::byte* scratch) const {
  AMCT_CHECK(shape_.channels_last, "epilogues work on channels-last results");
  if (takes_bytes(x)) return run_bytes(x, bias, epilogue, to, threads, scratch);
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t channels = shape_.out_channels;
  each_tile(x, threads, [&](int64_t n, int64_t begin, int64_t end, const int16_t* image, int32_t zero) {
    std::vector<int32_t> rows(static_cast<size_t>((end - begin) * channels + 16));
    sum_tile(image, begin, end, zero, rows.data());
    for (int64_t i = 0; i < (end - begin) * channels && bias != nullptr; ++i) {
      rows[i] = wrapping_sub(rows[i], -int64_t{bias[i % channels]});
    }
    epilogue.apply(rows.data(), channels, n * pixels + begin, end - begin, 0, channels, to);
  });
}

size_t IntConv::scratch_bytes() const {
  return bytes_ != nullptr            ? bytes_->scratch_bytes()
         : byte_depthwise_ != nullptr ? byte_depthwise_->scratch_bytes()
                                      : 0;
}

std::string IntConv::implementation(IntInput::Type type) const {
  return bytes_ != nullptr && type != IntInput::Type::kInt16 ? std::string("simd:") + bytes_->kernel() : "simd";
}

template IntConv::IntConv(const IntConvShape&, const int8_t*, const int32_t*, const Options&);
template IntConv::IntConv(const IntConvShape&, const uint8_t*, const int32_t*, const Options&);
template void IntConv::run(const IntInput&, const int32_t*, int32_t*, int) const;
template void IntConv::run(const IntInput&, const int32_t*, int64_t*, int) const;

}  // namespace amct

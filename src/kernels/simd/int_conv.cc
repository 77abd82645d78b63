#include "kernels/simd/int_conv.h"

#include <omp.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/wrapping.h"
#include "kernels/simd/byte_conv.h"
#include "kernels/simd/byte_depthwise.h"
#include "kernels/simd/int_depthwise.h"
#include "kernels/simd/int_image.h"

namespace amct {
namespace {

using Spatial = IntConvShape::Spatial;

// True if no sum of products of bytes leaves 32 bits.
bool sums_fit(const IntConvShape& shape) {
  const int64_t depth = shape.in_group() * IntConvShape::product(shape.kernel);
  return depth <= std::numeric_limits<int32_t>::max() / (255 * 255);
}

}  // namespace

// What one thread uses over and over; made before the threads start, because none may fail for want of memory.
template <typename Acc>
struct IntConv::Workspace {
  explicit Workspace(const IntConv& conv) {
    const auto pixels = static_cast<size_t>(std::min(conv.tile_pixels(), IntConvShape::product(conv.shape_.output)));
    rows.resize(pixels * static_cast<size_t>(conv.shape_.out_channels) + 16);  // an epilogue reads whole vectors
    if (conv.is_depthwise()) return;
    const PackedWeights& w = conv.groups_[0];
    if (!conv.patches_lie_in_image()) patches.resize(pixels * static_cast<size_t>(w.padded_depth()));
    narrow.resize(pixels * static_cast<size_t>(w.padded_rows()));
    if (sizeof(Acc) == 8) wide.resize(narrow.size());
  }
  std::vector<int16_t> patches;
  std::vector<int32_t> narrow;
  std::vector<int64_t> wide;
  std::vector<Acc> rows;
};

template <typename T>
IntConv::IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero, const Options& options)
    : shape_(shape),
      padded_(shape.padded()),
      joins_rows_(!is_depthwise() && shape.groups == 1 && shape.dilations[2] == 1),
      offsets_(window_offsets(shape, padded_, joins_rows_)) {
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
    byte_depthwise_ = std::make_unique<ByteDepthwise>(shape, ordered, options.depthwise_quads);
  } else if (sums_fit(shape) && !options.dots.empty() && (options.dots[0].value_bytes > 1 || all_bytes(ordered))) {
    bytes_ = std::make_unique<ByteConv>(shape, options.dots[0], ordered);
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
  const int64_t row = pixel / shape_.output[2];
  return image +
         window_begin(shape_, padded_, {row / shape_.output[1], row % shape_.output[1], pixel % shape_.output[2]});
}

// `from`: the first element of the patch's group.
void IntConv::copy_patch(const int16_t* from, int16_t* to) const {
  const int64_t run = shape_.in_group() * (joins_rows_ ? shape_.kernel[2] : 1);
  for (const int64_t offset : offsets_) to = std::copy_n(from + offset, run, to);
}

bool IntConv::patches_lie_in_image() const {
  const Spatial one = {1, 1, 1};
  return shape_.groups == 1 && shape_.kernel == one && shape_.strides == one && shape_.in_channels % 2 == 0;
}

// Patches that stay in the cache.
int64_t IntConv::tile_pixels() const {
  const int64_t depth = is_depthwise() ? shape_.out_channels : groups_[0].padded_depth();
  return std::clamp<int64_t>((1 << 16) / std::max<int64_t>(depth, 1), 8, 256);
}

template <typename Acc>
void IntConv::group_tile(const Tile& tile, int64_t group, Workspace<Acc>& work, Acc* rows) const {
  const PackedWeights& w = groups_[group];
  const int64_t lda = w.padded_depth(), ldc = w.padded_rows(), pixels = tile.end - tile.begin;
  const int16_t* depths = patch(tile.image, tile.begin);
  if (!patches_lie_in_image()) {
    for (int64_t p = 0; p < pixels; ++p) {
      copy_patch(patch(tile.image, tile.begin + p) + group * shape_.in_group(), work.patches.data() + p * lda);
    }
    depths = work.patches.data();
  }
  const Acc* products = nullptr;
  if constexpr (sizeof(Acc) == 8) {
    int_gemm_wide(depths, lda, pixels, w, work.wide.data(), ldc, work.narrow.data());
    products = work.wide.data();
  } else {
    int_gemm(depths, lda, pixels, w, work.narrow.data(), ldc);
    products = work.narrow.data();
  }
  const int64_t first = group * shape_.out_group();
  for (int64_t p = 0; p < pixels; ++p) {
    if (tile.zero == 0) {
      std::copy_n(products + p * ldc, shape_.out_group(), rows + p * shape_.out_channels + first);
      continue;
    }
    for (int64_t o = 0; o < shape_.out_group(); ++o) {
      rows[p * shape_.out_channels + first + o] =
          wrapping_sub(products[p * ldc + o], tile.zero * weight_sums_[first + o]);
    }
  }
}

template <typename Acc>
void IntConv::depthwise_tile(const Tile& tile, Acc* rows) const {
  const int64_t channels = shape_.out_channels;
  for (int64_t pixel = tile.begin; pixel < tile.end; ++pixel, rows += channels) {
    const int16_t* from = patch(tile.image, pixel);
    if constexpr (sizeof(Acc) == 4) {
      int_depthwise(from, offsets_, depthwise_.data(), channels, rows);
    } else {
      std::fill_n(rows, channels, Acc{0});
      for (size_t s = 0; s < offsets_.size(); ++s) {
        const int16_t* w = depthwise_.data() + static_cast<int64_t>(s) * channels;
        for (int64_t c = 0; c < channels; ++c) rows[c] += Acc{from[offsets_[s] + c]} * w[c];
      }
    }
    for (int64_t c = 0; c < channels && tile.zero != 0; ++c)
      rows[c] = wrapping_sub(rows[c], tile.zero * weight_sums_[c]);
  }
}

template <typename Acc, typename F>
void IntConv::each_tile(const IntInput& x, int threads, F&& f) const {
  AMCT_CHECK(!groups_.empty() || !depthwise_.empty(), "weights are packed for this type of input");
  const int64_t pixels = IntConvShape::product(shape_.output), step = tile_pixels();
  const int64_t tiles = (pixels + step - 1) / step;
  std::vector<int16_t> image(IntConvShape::product(padded_) * shape_.in_channels);
  std::vector<Workspace<Acc>> work(static_cast<size_t>(threads), Workspace<Acc>(*this));
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const int32_t left = fill_image(shape_, padded_, x, n, image.data());
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t t = 0; t < tiles; ++t) {
      const Tile tile{image.data(), t * step, std::min(pixels, (t + 1) * step), left};
      f(n, tile, work[static_cast<size_t>(omp_get_thread_num())]);
    }
  }
}

template <typename Acc>
void IntConv::sum_tile(const Tile& tile, Workspace<Acc>& work, Acc* rows) const {
  if (is_depthwise()) return depthwise_tile(tile, rows);
  for (int64_t g = 0; g < shape_.groups; ++g) group_tile(tile, g, work, rows);
}

bool IntConv::takes_bytes(const IntInput& x) const {
  return (bytes_ != nullptr || byte_depthwise_ != nullptr) && x.type != IntInput::Type::kInt16 && x.zero_fits();
}

void IntConv::run_bytes(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue,
                        const IntEpilogue::Rows& to, int threads, std::byte* scratch) const {
  std::vector<std::byte> own(scratch == nullptr ? scratch_bytes() : 0);
  if (scratch == nullptr) scratch = own.data();
  auto* start = reinterpret_cast<int32_t*>(scratch);
  auto* image = reinterpret_cast<uint8_t*>(scratch + start_bytes());
  start_values(weight_sums_, bias, unsigned_zero(x), start);
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
  each_tile<Acc>(x, threads, [&](int64_t n, const Tile& tile, Workspace<Acc>& work) {
    Acc* rows = shape_.channels_last ? y + (n * pixels + tile.begin) * shape_.out_channels : work.rows.data();
    sum_tile(tile, work, rows);
    store_rows(shape_, rows, n, tile.begin, tile.end, bias, y);
  });
}

void IntConv::run(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
                  int threads, std::byte* scratch) const {
  AMCT_CHECK(shape_.channels_last, "epilogues work on channels-last results");
  if (takes_bytes(x)) return run_bytes(x, bias, epilogue, to, threads, scratch);
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t channels = shape_.out_channels;
  each_tile<int32_t>(x, threads, [&](int64_t n, const Tile& tile, Workspace<int32_t>& work) {
    const int64_t count = tile.end - tile.begin;
    int32_t* rows = work.rows.data();
    sum_tile(tile, work, rows);
    for (int64_t i = 0; i < count * channels && bias != nullptr; ++i) {
      rows[i] = wrapping_add(rows[i], bias[i % channels]);
    }
    epilogue.apply(rows, channels, n * pixels + tile.begin, count, 0, channels, to);
  });
}

size_t IntConv::start_bytes() const {
  constexpr size_t kLine = 64;
  const bool has_bytes = bytes_ != nullptr || byte_depthwise_ != nullptr;
  return has_bytes ? (weight_sums_.size() * sizeof(int32_t) + kLine - 1) / kLine * kLine : 0;
}

size_t IntConv::image_bytes() const {
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

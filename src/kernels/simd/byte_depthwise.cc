#include "kernels/simd/byte_depthwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/byte_depthwise.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#ifndef AMCT_BYTE_DEPTHWISE_ONCE
#define AMCT_BYTE_DEPTHWISE_ONCE
namespace amct {
// A few pixels times a block of channels.
struct DepthwiseTile {
  static constexpr int64_t kPixels = 16;
  static constexpr int64_t kChannels = 64;
  const uint8_t* x[kPixels];
  int64_t pixels = 0;
  std::span<const int64_t> offsets;
  int64_t channels = 0;              // of this block
  const int16_t* weights = nullptr;  // (pair, kChannels, 2)
  const int32_t* start = nullptr;    // kChannels values
  int32_t* sums = nullptr;           // `pixels` rows of kChannels values
};
}  // namespace amct
#endif

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void depthwise_tile(const DepthwiseTile& t) {
  for (int64_t p = 0; p < t.pixels; ++p) {
    for (int64_t c = 0; c < t.channels; ++c) {
      int32_t sum = t.start[c];
      for (size_t s = 0; s < t.offsets.size(); ++s) {
        const int16_t w = t.weights[static_cast<int64_t>(s / 2) * 2 * DepthwiseTile::kChannels + 2 * c + s % 2];
        sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(t.x[p][t.offsets[s] + c] * w));
      }
      t.sums[p * DepthwiseTile::kChannels + c] = sum;
    }
  }
}

#else

using D32 = hn::CappedTag<int32_t, 16>;
using D16 = hn::Repartition<int16_t, D32>;
using V32 = hn::Vec<D32>;

// Two positions as pairs of 16-bit integers.
HWY_INLINE hn::Vec<D16> pair_of(const uint8_t* first, const uint8_t* second) {
  const D32 d32;
  const hn::Rebind<uint8_t, D32> d8;
  const auto low = hn::PromoteTo(d32, hn::LoadU(d8, first));
  const auto high = hn::PromoteTo(d32, hn::LoadU(d8, second));
  return hn::BitCast(D16(), hn::Or(low, hn::ShiftLeft<16>(high)));
}

// `kPairs` pairs with their weights in registers, or any number for 0.
template <int kPairs>
HWY_INLINE void channels_of_tile(const DepthwiseTile& t, int64_t c) {
  const D32 d32;
  const D16 d16;
  constexpr int64_t kPairValues = 2 * DepthwiseTile::kChannels;
  const int16_t* w = t.weights + 2 * c;
  const V32 start = hn::LoadU(d32, t.start + c);
  hn::Vec<D16> weights[std::max(kPairs, 1)];
  for (int i = 0; i < kPairs; ++i) weights[i] = hn::LoadU(d16, w + i * kPairValues);
  const int64_t* offsets = t.offsets.data();
  const auto pairs = static_cast<int64_t>(t.offsets.size() / 2);
  for (int64_t p = 0; p < t.pixels; ++p) {
    const uint8_t* x = t.x[p] + c;
    V32 sum = start, other = hn::Zero(d32);
    if constexpr (kPairs > 0) {
      for (int i = 0; i < kPairs; ++i) {
        sum = hn::ReorderWidenMulAccumulate(d32, pair_of(x + offsets[2 * i], x + offsets[2 * i + 1]), weights[i], sum,
                                            other);
      }
    } else {
      for (int64_t i = 0; i < pairs; ++i) {
        sum = hn::ReorderWidenMulAccumulate(d32, pair_of(x + offsets[2 * i], x + offsets[2 * i + 1]),
                                            hn::LoadU(d16, w + i * kPairValues), sum, other);
      }
    }
    hn::StoreU(hn::RearrangeToOddPlusEven(sum, other), d32, t.sums + p * DepthwiseTile::kChannels + c);
  }
}

void depthwise_tile(const DepthwiseTile& t) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D32()));
  const bool is_3x3 = t.offsets.size() == 10;
  for (int64_t c = 0; c < t.channels; c += lanes) is_3x3 ? channels_of_tile<5>(t, c) : channels_of_tile<0>(t, c);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(depthwise_tile);

ByteDepthwise::ByteDepthwise(const IntConvShape& shape, std::span<const int16_t> weights)
    : shape_(shape), image_(shape, false), offsets_(image_.positions(false)) {
  const int64_t positions = static_cast<int64_t>(offsets_.size());
  if (positions % 2 != 0) offsets_.push_back(offsets_.back());
  constexpr int64_t kBlock = DepthwiseTile::kChannels;
  const int64_t pairs = (positions + 1) / 2;
  weights_.resize(static_cast<size_t>((shape.in_channels + kBlock - 1) / kBlock * pairs * 2 * kBlock));
  for (int64_t c = 0; c < shape.in_channels; ++c) {
    for (int64_t s = 0; s < positions; ++s) {
      const int64_t at = ((c / kBlock * pairs + s / 2) * kBlock + c % kBlock) * 2 + s % 2;
      weights_[static_cast<size_t>(at)] = weights[static_cast<size_t>(c * positions + s)];
    }
  }
}

void ByteDepthwise::run(const IntInput& x, const std::vector<int32_t>& start, const IntEpilogue& epilogue,
                        const IntEpilogue::Rows& to, int threads, uint8_t* scratch) const {
  constexpr int64_t kBlock = DepthwiseTile::kChannels;
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t chunk = threads == 1 ? pixels : std::max<int64_t>(1, (pixels + 2 * threads - 1) / (2 * threads));
  const int64_t chunks = (pixels + chunk - 1) / chunk;
  const int64_t blocks = (shape_.in_channels + kBlock - 1) / kBlock;
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const uint8_t* image = image_.sample(x, n, scratch);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t task = 0; task < blocks * chunks; ++task) {
      const int64_t block = task / chunks;
      const int64_t end = std::min(pixels, (task % chunks + 1) * chunk);
      alignas(64) int32_t sums[DepthwiseTile::kPixels * kBlock];
      alignas(64) int32_t starts[kBlock] = {};
      DepthwiseTile tile;
      tile.channels = std::min(kBlock, shape_.in_channels - block * kBlock);
      std::copy_n(start.data() + block * kBlock, tile.channels, starts);
      tile.offsets = offsets_;
      tile.weights = weights_.data() + block * static_cast<int64_t>(offsets_.size()) * kBlock;
      tile.start = starts;
      tile.sums = sums;
      ByteImage::Windows windows(image_, task % chunks * chunk);
      for (int64_t pixel = task % chunks * chunk; pixel < end; pixel += tile.pixels) {
        tile.pixels = std::min(DepthwiseTile::kPixels, end - pixel);
        for (int64_t p = 0; p < tile.pixels; ++p) tile.x[p] = image + windows.next() + block * kBlock;
        HWY_DYNAMIC_DISPATCH(depthwise_tile)(tile);
        epilogue.apply(sums, kBlock, n * pixels + pixel, tile.pixels, block * kBlock, tile.channels, to);
      }
    }
  }
}

}  // namespace amct
#endif  // HWY_ONCE

#include "kernels/simd/byte_depthwise.h"

#include <algorithm>

#include "kernels/simd/byte_depthwise_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/byte_depthwise.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

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
        const int16_t w = static_cast<const int16_t*>(
            t.weights)[static_cast<int64_t>(s / 2) * 2 * DepthwiseTile::kChannels + 2 * c + s % 2];
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
  const int16_t* w = static_cast<const int16_t*>(t.weights) + 2 * c;
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

namespace {

constexpr int64_t kBlock = DepthwiseTile::kChannels;
constexpr int64_t kFewest = 17;  // channels of a block for which quads pay

int64_t block_channels(const IntConvShape& shape, int64_t block) {
  return std::min(kBlock, shape.in_channels - block * kBlock);
}

void fill_up(std::vector<int64_t>& offsets, size_t multiple) {
  while (offsets.size() % multiple != 0) offsets.push_back(offsets.back());  // with weights 0
}

}  // namespace

ByteDepthwise::ByteDepthwise(const IntConvShape& shape, std::span<const int16_t> weights, bool quads)
    : shape_(shape), image_(shape, false), pair_offsets_(image_.positions(false)), quad_offsets_(pair_offsets_) {
  const auto positions = static_cast<int64_t>(pair_offsets_.size());
  fill_up(pair_offsets_, 2);
  fill_up(quad_offsets_, 4);
  const auto pairs = static_cast<int64_t>(pair_offsets_.size()) / 2;
  const bool bytes = std::all_of(weights.begin(), weights.end(), [](int16_t w) { return w >= -128 && w <= 127; });
  for (int64_t block = 0; block * kBlock < shape.in_channels; ++block) {
    const int16_t* from = weights.data() + block * kBlock * positions;
    const int64_t channels = block_channels(shape, block);
    Block packed;
    if (quads && bytes && depthwise_quads_supported() && channels >= kFewest) {
      pack_depthwise_quads(from, channels, positions, packed.quads);
    } else {
      packed.pairs.resize(static_cast<size_t>(pairs * kBlock * 2));
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t s = 0; s < positions; ++s) {
          packed.pairs[static_cast<size_t>((s / 2 * kBlock + c) * 2 + s % 2)] = from[c * positions + s];
        }
      }
    }
    blocks_.push_back(std::move(packed));
  }
}

void ByteDepthwise::run(const IntInput& x, const std::vector<int32_t>& start, const IntEpilogue& epilogue,
                        const IntEpilogue::Rows& to, int threads, uint8_t* scratch) const {
  const int64_t pixels = IntConvShape::product(shape_.output);
  const int64_t chunk = threads == 1 ? pixels : std::max<int64_t>(1, (pixels + 2 * threads - 1) / (2 * threads));
  const int64_t chunks = (pixels + chunk - 1) / std::max<int64_t>(chunk, 1);
  const auto blocks = static_cast<int64_t>(blocks_.size());
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const uint8_t* image = image_.sample(x, n, scratch);
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t task = 0; task < blocks * chunks; ++task) {
      const int64_t block = task / chunks, begin = task % chunks * chunk;
      run_block(block, image, n * pixels, begin, std::min(pixels, begin + chunk), start, epilogue, to);
    }
  }
}

// Pixels [begin, end) of a sample whose first row in the result is `first_row`.
void ByteDepthwise::run_block(int64_t block, const uint8_t* image, int64_t first_row, int64_t begin, int64_t end,
                              const std::vector<int32_t>& start, const IntEpilogue& epilogue,
                              const IntEpilogue::Rows& to) const {
  const Block& packed = blocks_[static_cast<size_t>(block)];
  const bool quads = !packed.quads.empty();
  alignas(64) int32_t sums[DepthwiseTile::kPixels * kBlock];
  alignas(64) int32_t starts[kBlock] = {};
  DepthwiseTile tile;
  tile.channels = block_channels(shape_, block);
  std::copy_n(start.data() + block * kBlock, tile.channels, starts);
  tile.offsets = quads ? quad_offsets_ : pair_offsets_;
  tile.weights = quads ? static_cast<const void*>(packed.quads.data()) : packed.pairs.data();
  tile.start = starts;
  tile.sums = sums;
  ByteImage::Windows windows(image_, begin);
  for (int64_t pixel = begin; pixel < end; pixel += tile.pixels) {
    tile.pixels = std::min(DepthwiseTile::kPixels, end - pixel);
    for (int64_t p = 0; p < tile.pixels; ++p) tile.x[p] = image + windows.next() + block * kBlock;
    quads ? depthwise_quads(tile) : HWY_DYNAMIC_DISPATCH(depthwise_tile)(tile);
    epilogue.apply(sums, kBlock, first_row + pixel, tile.pixels, block * kBlock, tile.channels, to);
  }
}

}  // namespace amct
#endif  // HWY_ONCE

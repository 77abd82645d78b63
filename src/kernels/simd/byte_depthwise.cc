#include "kernels/simd/byte_depthwise.h"

#include <algorithm>

#include "kernels/simd/byte_depthwise_tile.h"
#include "kernels/simd/int_epilogue_tile.h"

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
constexpr int64_t kFewest = 17;  // columns of a block for which quads pay

int64_t pixels_side_by_side(const IntConvShape& shape) {
  if (shape.strides[2] != 1 || shape.in_channels == 0) return 1;
  const int64_t most = epilogue_columns(shape.in_channels) / shape.in_channels;
  return std::max<int64_t>(1, std::min(most, shape.output[2]));
}

void fill_up(std::vector<int64_t>& offsets, size_t multiple) {
  while (offsets.size() % multiple != 0) offsets.push_back(offsets.back());  // with weights 0
}

}  // namespace

ByteDepthwise::ByteDepthwise(const IntConvShape& shape, std::span<const int16_t> weights, bool quads)
    : shape_(shape),
      image_(shape, false),
      pixels_(pixels_side_by_side(shape)),
      pair_offsets_(image_.positions(false)),
      quad_offsets_(pair_offsets_) {
  const auto positions = static_cast<int64_t>(pair_offsets_.size());
  fill_up(pair_offsets_, 2);
  fill_up(quad_offsets_, 4);
  const auto pairs = static_cast<int64_t>(pair_offsets_.size()) / 2;
  const bool bytes = all_bytes(weights);
  const int64_t columns = pixels_ * shape.in_channels;
  std::vector<int16_t> own;  // weights of one block, (column, spatial)
  for (int64_t first = 0; first < columns; first += kBlock) {
    Block block{.first = first, .count = std::min(kBlock, columns - first)};
    own.clear();
    for (int64_t c = first; c < first + block.count; ++c) {
      const int16_t* from = weights.data() + c % shape.in_channels * positions;
      own.insert(own.end(), from, from + positions);
    }
    if (quads && bytes && depthwise_quads_supported() && block.count >= kFewest) {
      pack_depthwise_quads(own.data(), block.count, positions, block.quads);
    } else {
      block.pairs.resize(static_cast<size_t>(pairs * kBlock * 2));
      for (int64_t c = 0; c < block.count; ++c) {
        for (int64_t s = 0; s < positions; ++s) {
          block.pairs[static_cast<size_t>((s / 2 * kBlock + c) * 2 + s % 2)] = own[c * positions + s];
        }
      }
    }
    blocks_.push_back(std::move(block));
  }
}

// One sample.
struct ByteDepthwise::Job {
  const uint8_t* image;
  const int32_t* start;
  const IntEpilogue& epilogue;
  const IntEpilogue::Rows& to;
  int64_t first_pixel;  // in the result
};

void ByteDepthwise::run(const IntInput& x, const int32_t* start, const IntEpilogue& epilogue,
                        const IntEpilogue::Rows& to, int threads, uint8_t* scratch) const {
  const int64_t rows = shape_.output[0] * shape_.output[1];
  const int64_t chunk = task_chunk(rows, 1, threads);
  const int64_t chunks = (rows + chunk - 1) / chunk;
  const auto blocks = static_cast<int64_t>(blocks_.size());
  for (int64_t n = 0; n < shape_.batch; ++n) {
    const Job job{image_.sample(x, n, scratch), start, epilogue, to, n * rows * shape_.output[2]};
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t task = 0; task < blocks * chunks; ++task) {
      const int64_t begin = task % chunks * chunk;
      run_rows(job, blocks_[static_cast<size_t>(task / chunks)], begin, std::min(rows, begin + chunk));
    }
  }
}

// Rows [begin, end) of the result. What is left of a row behind whole groups of pixels is done with its neighbours.
void ByteDepthwise::run_rows(const Job& job, const Block& block, int64_t begin, int64_t end) const {
  alignas(64) int32_t start[kBlock] = {};
  for (int64_t i = 0; i < block.count; ++i) start[i] = job.start[(block.first + i) % shape_.in_channels];
  const int64_t width = shape_.output[2], groups = width / pixels_;
  if (width % pixels_ == 0) return run_pixels(job, block, start, begin * width, (end - begin) * groups);
  for (int64_t row = begin; row < end; ++row) {
    run_pixels(job, block, start, row * width, groups);
    run_pixels(job, block, start, (row + 1) * width - pixels_, 1);
  }
}

// `count` groups of pixels from pixel `first` on.
void ByteDepthwise::run_pixels(const Job& job, const Block& block, const int32_t* start, int64_t first,
                               int64_t count) const {
  const bool quads = !block.quads.empty();
  alignas(64) int32_t sums[DepthwiseTile::kPixels * kBlock];
  const uint8_t* x[DepthwiseTile::kPixels];
  DepthwiseTile tile{.x = x,
                     .offsets = quads ? quad_offsets_ : pair_offsets_,
                     .channels = block.count,
                     .weights = quads ? static_cast<const void*>(block.quads.data()) : block.pairs.data(),
                     .start = start,
                     .sums = sums};
  const int64_t step = pixels_ * shape_.in_channels;
  for (int64_t i = 0; i < count; i += tile.pixels) {
    tile.pixels = std::min(DepthwiseTile::kPixels, count - i);
    image_.windows(job.image + block.first, first + i * pixels_, tile.pixels, pixels_, x);
    quads ? depthwise_quads(tile) : HWY_DYNAMIC_DISPATCH(depthwise_tile)(tile);
    const int64_t at = (job.first_pixel + first) * shape_.in_channels + i * step + block.first;
    apply_epilogue(job.epilogue, {sums, kBlock, tile.pixels, block.count, block.first, at, step}, job.to);
  }
}

}  // namespace amct
#endif  // HWY_ONCE

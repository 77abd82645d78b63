#include "kernels/simd/packed_product.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/packed_product.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum over blocks of factors(b) sums(b)
HWY_NOINLINE float dot(const float* HWY_RESTRICT factors, const float* HWY_RESTRICT sums, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto total = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) total = hn::MulAdd(hn::LoadU(d, factors + i), hn::LoadU(d, sums + i), total);
  float result = hn::GetLane(hn::SumOfLanes(d, total));
  for (; i < count; ++i) result += factors[i] * sums[i];
  return result;
}

// kRows rows of the input by kColumns rows of the weight. kCap: bytes of a block, at most 16.
template <int kBits, int kCap, int kRows, int kColumns>
HWY_INLINE void multiply_tile(const PackedWeight& w, const float* HWY_RESTRICT split, const float* HWY_RESTRICT sums,
                              int64_t n, const float* bias, float* y) {
  constexpr int kParts = 8 / kBits;
  const hn::CappedTag<float, kCap> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t blocks = w.blocks(), block_bytes = w.block * kBits / 8, row_size = blocks * w.block;
  const auto mask = hn::Set(du, (1u << kBits) - 1);
  hn::Vec<decltype(d)> total[kRows][kColumns];
  for (auto& of_row : total) {
    for (auto& v : of_row) v = hn::Zero(d);
  }
  const uint8_t* HWY_RESTRICT bytes = w.bytes + n * blocks * block_bytes;
  const float* HWY_RESTRICT scales = w.scales + n * blocks;
  for (int64_t b = 0; b < blocks; ++b) {
    hn::Vec<decltype(d)> sum[kRows][kColumns];
    for (auto& of_row : sum) {
      for (auto& v : of_row) v = hn::Zero(d);
    }
    const float* a = split + b * w.block;
    for (int64_t j = 0; j < block_bytes; j += lanes) {
      for (int column = 0; column < kColumns; ++column) {
        auto packed = hn::PromoteTo(du, hn::LoadU(d8, bytes + (column * blocks + b) * block_bytes + j));
        for (int part = 0; part < kParts; ++part) {
          const auto value = hn::ConvertTo(d, hn::BitCast(di, hn::And(packed, mask)));
          for (int row = 0; row < kRows; ++row) {
            const auto x = hn::LoadU(d, a + row * row_size + part * block_bytes + j);
            sum[row][column] = hn::MulAdd(value, x, sum[row][column]);
          }
          if constexpr (kParts > 1) packed = hn::ShiftRight<kBits>(packed);
        }
      }
    }
    for (int column = 0; column < kColumns; ++column) {
      const auto scale = hn::Set(d, scales[column * blocks + b]);
      for (int row = 0; row < kRows; ++row) {
        total[row][column] = hn::MulAdd(sum[row][column], scale, total[row][column]);
      }
    }
  }
  for (int column = 0; column < kColumns; ++column) {
    const float* factors = (w.scaled_zeros != nullptr ? w.scaled_zeros : w.scales) + (n + column) * blocks;
    const float zero = w.scaled_zeros != nullptr ? 1.0f : static_cast<float>(1 << (kBits - 1));
    for (int row = 0; row < kRows; ++row) {
      const float taken = zero * dot(factors, sums + row * blocks, blocks);
      const float product = hn::GetLane(hn::SumOfLanes(d, total[row][column])) - taken;
      y[row * w.n + n + column] = product + (bias != nullptr ? bias[n + column] : 0);
    }
  }
}

template <int kBits, int kCap, int kRows>
HWY_NOINLINE void multiply_columns(const PackedWeight& w, const float* split, const float* sums, int64_t first,
                                   int64_t last, const float* bias, float* y) {
  constexpr int kColumns = kRows == 1 ? 4 : 2;
  int64_t n = first;
  for (; n + kColumns <= last; n += kColumns) multiply_tile<kBits, kCap, kRows, kColumns>(w, split, sums, n, bias, y);
  for (; n < last; ++n) multiply_tile<kBits, kCap, kRows, 1>(w, split, sums, n, bias, y);
}

template <int kBits, int kCap>
HWY_INLINE void multiply_rows(const PackedWeight& w, const float* split, const float* sums, int64_t rows, int64_t first,
                              int64_t last, const float* bias, float* y) {
  while (rows > 0) {
    const int64_t taken = std::min<int64_t>(rows, 4);
    switch (taken) {
      case 1: multiply_columns<kBits, kCap, 1>(w, split, sums, first, last, bias, y); break;
      case 2: multiply_columns<kBits, kCap, 2>(w, split, sums, first, last, bias, y); break;
      case 3: multiply_columns<kBits, kCap, 3>(w, split, sums, first, last, bias, y); break;
      default: multiply_columns<kBits, kCap, 4>(w, split, sums, first, last, bias, y);
    }
    rows -= taken;
    split += taken * w.blocks() * w.block;
    sums += taken * w.blocks();
    y += taken * w.n;
  }
}

void multiply_packed(const PackedWeight& w, const float* split, const float* sums, int64_t rows, int64_t first,
                     int64_t last, const float* bias, float* y) {
  const int64_t block_bytes = w.block * w.bits / 8;
  if (w.bits == 8) return multiply_rows<8, 16>(w, split, sums, rows, first, last, bias, y);
  if (w.bits == 4 && block_bytes >= 16) return multiply_rows<4, 16>(w, split, sums, rows, first, last, bias, y);
  if (w.bits == 4) return multiply_rows<4, 8>(w, split, sums, rows, first, last, bias, y);
  if (block_bytes >= 16) return multiply_rows<2, 16>(w, split, sums, rows, first, last, bias, y);
  multiply_rows<2, 4>(w, split, sums, rows, first, last, bias, y);
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(multiply_packed);

void split_rows(const PackedWeight& weight, const float* a, int64_t rows, float* split, float* sums) {
  const int64_t parts = 8 / weight.bits, each = weight.block / parts, blocks = weight.blocks();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t b = 0; b < blocks; ++b, split += weight.block) {
      const float* from = a + row * weight.k + b * weight.block;
      const int64_t present = std::min(weight.block, weight.k - b * weight.block);
      float sum = 0;
      for (int64_t i = 0; i < weight.block; ++i) {
        const float value = i < present ? from[i] : 0.0f;
        split[i % parts * each + i / parts] = value;
        sum += value;
      }
      *sums++ = sum;
    }
  }
}

void packed_product(const PackedWeight& weight, const float* split, const float* sums, int64_t rows, int64_t first,
                    int64_t last, const float* bias, float* y) {
  HWY_DYNAMIC_DISPATCH(multiply_packed)(weight, split, sums, rows, first, last, bias, y);
}

}  // namespace amct
#endif

#include "kernels/simd/int_gemm.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/int_gemm.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// Pairs [first, first + count) of k.
void gemm(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& weights, int64_t first, int64_t count,
          int32_t* c, int64_t ldc) {
  constexpr int64_t kPanel = PackedWeights::kPanel;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t n = 0; n < weights.rows(); ++n) {
      const int16_t* w = weights.data() + (n / kPanel * weights.pairs() + first) * 2 * kPanel + n % kPanel * 2;
      const int16_t* x = a + row * lda + first * 2;
      uint32_t sum = 0;  // wraps around
      for (int64_t p = 0; p < count; ++p, x += 2, w += 2 * kPanel) {
        sum += static_cast<uint32_t>(x[0] * w[0]) + static_cast<uint32_t>(x[1] * w[1]);
      }
      c[row * ldc + n] = static_cast<int32_t>(sum);
    }
  }
}

#else

// At most half a panel in one vector, so that panels are whole numbers of vectors.
using D32 = hn::CappedTag<int32_t, 16>;
using D16 = hn::Repartition<int16_t, D32>;
using V32 = hn::Vec<D32>;

// kRows rows of A against kVectors vectors of columns of one panel, over `pairs` pairs of k.
template <int kRows, int kVectors>
HWY_INLINE void tile(const int16_t* HWY_RESTRICT a, int64_t lda, const int16_t* HWY_RESTRICT w, int64_t pairs,
                     int32_t* HWY_RESTRICT c, int64_t ldc) {
  const D32 d32;
  const D16 d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d32));
  V32 sum0[kRows][kVectors];
  V32 sum1[kRows][kVectors];  // stays zero where the multiply-add needs one accumulator only
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sum0[r][v] = sum1[r][v] = hn::Zero(d32);
  }
  for (int64_t p = 0; p < pairs; ++p) {
    hn::Vec<D16> weights[kVectors];
    for (int v = 0; v < kVectors; ++v) weights[v] = hn::LoadU(d16, w + p * 2 * PackedWeights::kPanel + v * lanes * 2);
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * lda + p * 2, sizeof(pair));
      const auto values = hn::BitCast(d16, hn::Set(d32, pair));
      for (int v = 0; v < kVectors; ++v) {
        sum0[r][v] = hn::ReorderWidenMulAccumulate(d32, values, weights[v], sum0[r][v], sum1[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(hn::RearrangeToOddPlusEven(sum0[r][v], sum1[r][v]), d32, c + r * ldc + v * lanes);
    }
  }
}

template <int kVectors>
HWY_INLINE void columns(const int16_t* a, int64_t lda, int64_t m, const int16_t* w, int64_t pairs, int32_t* c,
                        int64_t ldc) {
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 8 : 4;  // what fits the registers
  int64_t row = 0;
  for (; row + kRows <= m; row += kRows) tile<kRows, kVectors>(a + row * lda, lda, w, pairs, c + row * ldc, ldc);
  for (; row < m; ++row) tile<1, kVectors>(a + row * lda, lda, w, pairs, c + row * ldc, ldc);
}

// Pairs [first, first + count) of k.
void gemm(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& weights, int64_t first, int64_t count,
          int32_t* c, int64_t ldc) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(D32()));
  constexpr int64_t kPanel = PackedWeights::kPanel;
  for (int64_t panel = 0; panel < weights.padded_rows() / kPanel; ++panel) {
    const int16_t* w = weights.data() + (panel * weights.pairs() + first) * 2 * kPanel;
    const int64_t used = std::min(kPanel, weights.rows() - panel * kPanel);
    int64_t column = 0;
    for (; column < used; column += 2 * lanes) {
      int32_t* to = c + panel * kPanel + column;
      if (used - column > lanes) {
        columns<2>(a + first * 2, lda, m, w + column * 2, count, to, ldc);
      } else {
        columns<1>(a + first * 2, lda, m, w + column * 2, count, to, ldc);
      }
    }
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(gemm);

void int_gemm(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& w, int32_t* c, int64_t ldc) {
  HWY_DYNAMIC_DISPATCH(gemm)(a, lda, m, w, 0, w.pairs(), c, ldc);
}

void int_gemm_wide(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& w, int64_t* c, int64_t ldc,
                   int32_t* scratch) {
  constexpr int64_t kRun = 128;  // 128 pairs of products below 2^23 (and two lanes' worth of slack) stay below 2^31
  for (int64_t row = 0; row < m; ++row) std::fill_n(c + row * ldc, w.rows(), int64_t{0});
  for (int64_t first = 0; first < w.pairs(); first += kRun) {
    const int64_t count = std::min(kRun, w.pairs() - first);
    HWY_DYNAMIC_DISPATCH(gemm)(a, lda, m, w, first, count, scratch, ldc);
    for (int64_t row = 0; row < m; ++row) {
      for (int64_t n = 0; n < w.rows(); ++n) c[row * ldc + n] += scratch[row * ldc + n];
    }
  }
}

}  // namespace amct
#endif  // HWY_ONCE

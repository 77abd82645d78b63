#include "kernels/simd/few_rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/few_rows.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// kRows rows of a by kColumns rows of b.
template <int kRows, int kColumns>
HWY_INLINE void dot_tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t n, int64_t k,
                         float* HWY_RESTRICT y) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kColumns];
  for (auto& of_row : sum) {
    for (V& v : of_row) v = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + lanes <= k; i += lanes) {
    for (int column = 0; column < kColumns; ++column) {
      const V x = hn::LoadU(d, b + column * k + i);
      for (int row = 0; row < kRows; ++row) {
        sum[row][column] = hn::MulAdd(hn::LoadU(d, a + row * k + i), x, sum[row][column]);
      }
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[row][column]));
      for (int64_t rest = i; rest < k; ++rest) total += a[row * k + rest] * b[column * k + rest];
      y[row * n + column] = total;
    }
  }
}

template <int kRows>
HWY_INLINE void dots(const float* a, const float* b, int64_t n, int64_t k, float* y) {
  int64_t column = 0;
  for (; column + 4 <= n; column += 4) dot_tile<kRows, 4>(a, b + column * k, n, k, y + column);
  for (; column < n; ++column) dot_tile<kRows, 1>(a, b + column * k, n, k, y + column);
}

// kVectors vectors of columns of b.
template <int kRows, int kVectors>
HWY_INLINE void mix_tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, int64_t n, int64_t k,
                         float* HWY_RESTRICT y) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  V sum[kRows][kVectors];
  for (auto& of_row : sum) {
    for (V& v : of_row) v = hn::Zero(d);
  }
  for (int64_t i = 0; i < k; ++i) {
    for (int vector = 0; vector < kVectors; ++vector) {
      const V x = hn::LoadU(d, b + i * n + vector * lanes);
      for (int row = 0; row < kRows; ++row) {
        sum[row][vector] = hn::MulAdd(hn::Set(d, a[row * k + i]), x, sum[row][vector]);
      }
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int vector = 0; vector < kVectors; ++vector) hn::StoreU(sum[row][vector], d, y + row * n + vector * lanes);
  }
}

template <int kRows>
HWY_INLINE void mixes(const float* a, const float* b, int64_t n, int64_t k, float* y) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  int64_t column = 0;
  for (; column + 4 * lanes <= n; column += 4 * lanes) mix_tile<kRows, 4>(a, b + column, n, k, y + column);
  for (; column + lanes <= n; column += lanes) mix_tile<kRows, 1>(a, b + column, n, k, y + column);
  for (int row = 0; row < kRows; ++row) {
    for (int64_t rest = column; rest < n; ++rest) {
      float sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += a[row * k + i] * b[i * n + rest];
      y[row * n + rest] = sum;
    }
  }
}

void times_transposed(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y) {
  for (; rows >= 4; rows -= 4, a += 4 * k, y += 4 * n) dots<4>(a, b, n, k, y);
  for (; rows > 0; --rows, a += k, y += n) dots<1>(a, b, n, k, y);
}

void times_straight(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y) {
  for (; rows >= 4; rows -= 4, a += 4 * k, y += 4 * n) mixes<4>(a, b, n, k, y);
  for (; rows > 0; --rows, a += k, y += n) mixes<1>(a, b, n, k, y);
}

}  // namespace amct::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(times_transposed);
HWY_EXPORT(times_straight);

void few_rows_times_transposed(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y) {
  HWY_DYNAMIC_DISPATCH(times_transposed)(a, b, rows, n, k, y);
}

void few_rows_times(const float* a, const float* b, int64_t rows, int64_t n, int64_t k, float* y) {
  HWY_DYNAMIC_DISPATCH(times_straight)(a, b, rows, n, k, y);
}

}  // namespace amct
#endif

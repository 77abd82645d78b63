// Exact matrix products of 16-bit integers: C[m][n] = sum_k A[m][k] * W[n][k].
//
// Pairs of products are added by the 16-bit multiply-add of the processor into 32-bit lanes.
// 32-bit sums wrap around, so they are exact modulo 2^32: whoever knows that the true result fits 32 bits has it.
// The wide form adds runs of K that cannot overflow into 64-bit sums.
#pragma once

#include <cstdint>
#include <vector>

namespace amct {

// Weights, packed for the kernels: panels of 32 rows of W; in a panel, pairs of k, each with 32 x 2 values.
class PackedWeights {
 public:
  static constexpr int64_t kPanel = 32;

  // Element (n, k) is data[n * stride_n + k * stride_k] - zero[n] (no zero points if null); every difference must fit
  // 16 bits.
  template <typename T>
  static PackedWeights pack(const T* data, int64_t n, int64_t k, int64_t stride_n, int64_t stride_k,
                            const int32_t* zero = nullptr) {
    PackedWeights packed(n, k);
    for (int64_t row = 0; row < n; ++row) {
      const int32_t offset = zero != nullptr ? zero[row] : 0;
      int64_t sum = 0;
      for (int64_t i = 0; i < k; ++i) {
        const auto value = static_cast<int16_t>(data[row * stride_n + i * stride_k] - offset);
        packed.data_[packed.index(row, i)] = value;
        sum += value;
      }
      packed.sums_[row] = sum;
    }
    return packed;
  }

  int64_t rows() const { return n_; }
  int64_t depth() const { return k_; }
  int64_t pairs() const { return (k_ + 1) / 2; }
  int64_t padded_rows() const { return (n_ + kPanel - 1) / kPanel * kPanel; }
  int64_t padded_depth() const { return pairs() * 2; }  // A's rows are this long; the last value is free if k is odd
  const int16_t* data() const { return data_.data(); }
  const std::vector<int64_t>& row_sums() const { return sums_; }

 private:
  PackedWeights(int64_t n, int64_t k) : n_(n), k_(k), data_(padded_rows() * padded_depth()), sums_(n) {}
  int64_t index(int64_t row, int64_t i) const {
    return ((row / kPanel) * pairs() + i / 2) * 2 * kPanel + (row % kPanel) * 2 + i % 2;
  }

  int64_t n_;
  int64_t k_;
  std::vector<int16_t> data_;
  std::vector<int64_t> sums_;
};

// Sums modulo 2^32. A: m rows at distance `lda` >= w.padded_depth(). C: m rows at distance `ldc` >= w.padded_rows();
// columns past w.rows() are written as zero.
void int_gemm(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& w, int32_t* c, int64_t ldc);

// Exact 64-bit sums; `scratch` holds m * ldc values. |a * w| of every pair of products must stay below 2^23.
void int_gemm_wide(const int16_t* a, int64_t lda, int64_t m, const PackedWeights& w, int64_t* c, int64_t ldc,
                   int32_t* scratch);

}  // namespace amct

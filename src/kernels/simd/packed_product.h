// Product of a few rows of floats with a weight that stays packed in 2, 4 or 8 bits: what a language model does for
// every token. Reading the weight is all the work there is, so it is unpacked in registers on its way into the sums.
//
//   y(i, n) = bias(n) + sum over blocks b of  scale(n, b) (sum of a(i, k) q(n, k) - zero(n, b) sum of a(i, k))
//
// The elements of a byte belong to neighbouring columns. Instead of reordering them, the rows of `a` are split: all
// columns that lie in the lowest bits first, then the next, block by block. Every sum is made by one thread in a fixed
// order.
#pragma once

#include <cstdint>

namespace amct {

struct PackedWeight {
  int64_t n = 0, k = 0;                 // rows, columns
  int64_t bits = 4;                     // 2, 4 or 8, lowest bits first
  int64_t block = 32;                   // columns that share a scale: a power of 2, at least 16
  const uint8_t* bytes = nullptr;       // (n, blocks, block * bits / 8)
  const float* scales = nullptr;        // (n, blocks)
  const float* scaled_zeros = nullptr;  // zero * scale; null where zero is 2^(bits - 1) everywhere

  int64_t blocks() const { return (k + block - 1) / block; }
};

// The rows of `a`, (rows, k), for packed_product: `split` takes (rows, blocks * block) floats, columns beyond k are
// zero, `sums` (rows, blocks).
void split_rows(const PackedWeight& weight, const float* a, int64_t rows, float* split, float* sums);

// y(:, first … last - 1) of `rows` rows, whose stride is n. `bias` may be null.
void packed_product(const PackedWeight& weight, const float* split, const float* sums, int64_t rows, int64_t first,
                    int64_t last, const float* bias, float* y);

}  // namespace amct

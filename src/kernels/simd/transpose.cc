#include "kernels/simd/transpose.h"

#include <cstring>

namespace amct {
namespace {

// Vectors of the compiler: 128 bits are part of every target's baseline, so that nothing is chosen at run time
// (Highway's baseline on x86 begins later than the compiler's and would be scalar here).
using Quad = uint32_t __attribute__((vector_size(16)));

Quad load(const uint32_t* from) {
  Quad quad;
  std::memcpy(&quad, from, sizeof(quad));
  return quad;
}

void store(const Quad& quad, uint32_t* to) { std::memcpy(to, &quad, sizeof(quad)); }

void transpose_square(const uint32_t* source, int64_t source_stride, uint32_t* target, int64_t target_stride) {
  const Quad a = load(source);
  const Quad b = load(source + source_stride);
  const Quad c = load(source + 2 * source_stride);
  const Quad d = load(source + 3 * source_stride);
  const Quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5), target);
  store(__builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7), target + target_stride);
  store(__builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5), target + 2 * target_stride);
  store(__builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7), target + 3 * target_stride);
}

}  // namespace

void transpose_32(const uint32_t* source, int64_t source_stride, int64_t rows, int64_t columns, uint32_t* target,
                  int64_t target_stride) {
  const int64_t square_rows = rows / 4 * 4, square_columns = columns / 4 * 4;
  for (int64_t r = 0; r < square_rows; r += 4) {
    for (int64_t c = 0; c < square_columns; c += 4) {
      transpose_square(source + c * source_stride + r, source_stride, target + r * target_stride + c, target_stride);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = r < square_rows ? square_columns : 0; c < columns; ++c) {
      target[r * target_stride + c] = source[c * source_stride + r];
    }
  }
}

}  // namespace amct

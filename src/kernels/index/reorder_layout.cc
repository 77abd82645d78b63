#include "kernels/index/reorder_layout.h"

#include <algorithm>
#include <type_traits>

#include "base/error.h"
#include "kernels/simd/interleave.h"
#include "kernels/simd/transpose.h"

namespace amct {
namespace {

// Transposes a (rows, columns) matrix in square tiles, so that both sides stay in cache.
template <typename T>
void transpose(const T* from, T* to, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    const int64_t r1 = std::min(rows, r0 + kTile);
    for (int64_t c0 = 0; c0 < columns; c0 += kTile) {
      const int64_t c1 = std::min(columns, c0 + kTile);
      if constexpr (std::is_same_v<T, uint32_t>) {
        if (std::min(r1 - r0, c1 - c0) >= 4) {
          transpose_32(from + r0 * columns + c0, columns, c1 - c0, r1 - r0, to + c0 * rows + r0, rows);
          continue;
        }
      }
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1; ++r) to[c * rows + r] = from[r * columns + c];
      }
    }
  }
}

// Few channels (photographs): the compiler turns the fixed inner loop into shuffles.
template <typename T, int kChannels>
void interleave(const T* from, T* to, int64_t positions) {
  for (int64_t s = 0; s < positions; ++s) {
    for (int c = 0; c < kChannels; ++c) to[s * kChannels + c] = from[c * positions + s];
  }
}

template <typename T>
void first_to_last(const T* from, T* to, const LayoutExtents& e) {
  const int64_t image = e.channels * e.positions;
  for (int64_t n = 0; n < e.batch; ++n, from += image, to += image) {
    if (e.channels == 3 && sizeof(T) == 1) {
      interleave_3_bytes(reinterpret_cast<const uint8_t*>(from), e.positions, reinterpret_cast<uint8_t*>(to));
    } else if (e.channels == 3) {
      interleave<T, 3>(from, to, e.positions);
    } else {
      transpose(from, to, e.channels, e.positions);
    }
  }
}

template <typename T>
void last_to_first(const T* from, T* to, const LayoutExtents& e) {
  const int64_t image = e.channels * e.positions;
  for (int64_t n = 0; n < e.batch; ++n, from += image, to += image) transpose(from, to, e.positions, e.channels);
}

template <typename F>
void by_size(size_t element_bytes, F&& f) {
  switch (element_bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    default: internal_error("no reorder for elements of this size");
  }
}

}  // namespace

void channels_first_to_last(const void* from, void* to, const LayoutExtents& extents, size_t element_bytes) {
  by_size(element_bytes,
          [&]<typename T>(T) { first_to_last(static_cast<const T*>(from), static_cast<T*>(to), extents); });
}

void channels_last_to_first(const void* from, void* to, const LayoutExtents& extents, size_t element_bytes) {
  by_size(element_bytes,
          [&]<typename T>(T) { last_to_first(static_cast<const T*>(from), static_cast<T*>(to), extents); });
}

}  // namespace amct

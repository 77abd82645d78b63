// Arithmetic on sizes that come from files: overflow is an answer, not a surprise.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace amct {

inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// Product of non-negative extents; nullopt on a negative extent or overflow. The product of no extents is 1.
inline std::optional<int64_t> checked_product(std::span<const int64_t> extents) {
  int64_t product = 1;
  bool zero = false;
  for (const int64_t extent : extents) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      zero = true;
      continue;
    }
    const auto next = checked_mul(product, extent);
    if (!next) return std::nullopt;
    product = *next;
  }
  return zero ? 0 : product;
}

}  // namespace amct

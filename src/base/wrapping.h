// Arithmetic on integers modulo 2^n, as tensors have it: signed types may not overflow as they are.
#pragma once

#include <cstdint>
#include <type_traits>

namespace amct {

// The type to compute in; smaller ones would be widened to int, and its products overflow.
template <typename T>
using Wrapping = std::conditional_t<(sizeof(T) < sizeof(uint32_t)), uint32_t, std::make_unsigned_t<T>>;

template <typename Acc>
Acc wrapping_add(Acc a, int64_t b) {
  return static_cast<Acc>(static_cast<Wrapping<Acc>>(a) + static_cast<Wrapping<Acc>>(b));
}

template <typename Acc>
Acc wrapping_sub(Acc a, int64_t b) {
  return static_cast<Acc>(static_cast<Wrapping<Acc>>(a) - static_cast<Wrapping<Acc>>(b));
}

}  // namespace amct

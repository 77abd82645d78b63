// Arithmetic modulo 2^32 or 2^64 on signed integers, which may not overflow as they are.
#pragma once

#include <cstdint>
#include <type_traits>

namespace amct {

template <typename Acc>
Acc wrapping_add(Acc a, int64_t b) {
  using Unsigned = std::make_unsigned_t<Acc>;
  return static_cast<Acc>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
}

template <typename Acc>
Acc wrapping_sub(Acc a, int64_t b) {
  using Unsigned = std::make_unsigned_t<Acc>;
  return static_cast<Acc>(static_cast<Unsigned>(a) - static_cast<Unsigned>(b));
}

}  // namespace amct

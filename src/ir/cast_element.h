// One number in another element type, defined for every value: what Tensor::cast and the operator Cast do.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "ir/dispatch.h"

namespace amct {

// Truncates; stops at the ends of int64, NaN gives 0.
inline int64_t saturated_int64(double x) {
  if (x != x) return 0;
  if (x >= 0x1p63) return std::numeric_limits<int64_t>::max();
  if (x < -0x1p63) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(x);
}

// Floats to integers as saturated_int64, of which the low bits are kept, as between integers (uint64: up to its own
// end). Anything but 0 is true, NaN too.
template <typename To, typename Element>
To cast_element(Element element) {
  const auto x = static_cast<Compute<Element>>(element);
  using From = Compute<Element>;
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (x >= From{0x1p63}) return x >= From{0x1p64} ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(x);
    }
    return static_cast<To>(saturated_int64(static_cast<double>(x)));
  } else {
    return static_cast<To>(static_cast<Compute<To>>(x));
  }
}

}  // namespace amct

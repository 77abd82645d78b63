// From the size of an element at run time to a plain type of that size at compile time, for kernels that move elements
// without looking at their values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace amct {

template <typename T>
struct ElementTag {
  using type = T;
};

template <typename F>
decltype(auto) visit_element(size_t element_bytes, F&& f) {
  switch (element_bytes) {
    case 1: return f(ElementTag<uint8_t>{});
    case 2: return f(ElementTag<uint16_t>{});
    case 4: return f(ElementTag<uint32_t>{});
    case 8: return f(ElementTag<uint64_t>{});
    case 16: return f(ElementTag<std::array<uint64_t, 2>>{});
    default: break;
  }
  throw Error(ErrorCode::kUnsupported, "cannot move elements of " + std::to_string(element_bytes) + " bytes");
}

}  // namespace amct

// From a DType at run time to an element type at compile time.
//
//   visit_numeric(tensor.dtype(), [&]<typename T>(Tag<T>) { … });
#pragma once

#include <fmt/core.h>

#include "ir/tensor.h"

namespace amct {

template <typename T>
struct Tag {
  using type = T;
};

// Calls `f(Tag<T>)` for every arithmetic type that elements are computed in, the 16-bit floats included (convert them
// to float) and bool; 4-bit integers visit as int8_t / uint8_t. Other types throw Error(kUnsupported).
template <typename F>
decltype(auto) visit_numeric(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat32: return f(Tag<float>{});
    case DType::kFloat64: return f(Tag<double>{});
    case DType::kFloat16: return f(Tag<Half>{});
    case DType::kBFloat16: return f(Tag<BFloat16>{});
    case DType::kInt8:
    case DType::kInt4: return f(Tag<int8_t>{});
    case DType::kInt16: return f(Tag<int16_t>{});
    case DType::kInt32: return f(Tag<int32_t>{});
    case DType::kInt64: return f(Tag<int64_t>{});
    case DType::kUInt8:
    case DType::kUInt4: return f(Tag<uint8_t>{});
    case DType::kUInt16: return f(Tag<uint16_t>{});
    case DType::kUInt32: return f(Tag<uint32_t>{});
    case DType::kUInt64: return f(Tag<uint64_t>{});
    case DType::kBool: return f(Tag<bool>{});
    default: break;
  }
  throw Error(ErrorCode::kUnsupported, fmt::format("no arithmetic on elements of type {}", name_of(dtype)));
}

// Calls `f(Tag<T>)` with an unsigned type of the element's size: for data movement, which never looks at values.
template <typename F>
decltype(auto) visit_size(DType dtype, F&& f) {
  switch (element_bytes(dtype)) {
    case 1: return f(Tag<uint8_t>{});
    case 2: return f(Tag<uint16_t>{});
    case 4: return f(Tag<uint32_t>{});
    case 8: return f(Tag<uint64_t>{});
    default: break;
  }
  throw Error(ErrorCode::kUnsupported, fmt::format("cannot move elements of type {}", name_of(dtype)));
}

// The type to compute in: the 16-bit floats in float, everything else in itself.
template <typename T>
using Compute = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

}  // namespace amct

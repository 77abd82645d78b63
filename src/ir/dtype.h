// Element types. A type has a width in bits, not bytes: 4-bit types exist, and how two of them share a byte is the
// business of whoever reads or writes a file. In memory a 4-bit element takes a byte of its own (sign-extended).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace amct {

enum class DType : uint8_t {
  kUndefined,
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUInt8,
  kUInt16,
  kUInt32,
  kUInt64,
  kBool,
  kInt4,
  kUInt4,
  kFloat8E4M3FN,
  kFloat8E4M3FNUZ,
  kFloat8E5M2,
  kFloat8E5M2FNUZ,
  kFloat4E2M1,
  kComplex64,
  kComplex128,
  kString,  // never computed with: strings live in opaque nodes
};

std::string_view name_of(DType dtype);  // "float32", "int8", …
std::optional<DType> dtype_from_name(std::string_view name);
int bit_width(DType dtype);         // bits of one stored element; 0 for undefined and string
size_t element_bytes(DType dtype);  // bytes of one element in memory; 0 for undefined and string

bool is_floating(DType dtype);  // includes the 8- and 4-bit floats
bool is_integer(DType dtype);   // signed and unsigned, not bool
bool is_signed_integer(DType dtype);

}  // namespace amct

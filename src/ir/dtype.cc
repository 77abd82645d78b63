#include "ir/dtype.h"

#include <array>

namespace amct {
namespace {

enum class Kind { kOther, kFloating, kSigned, kUnsigned };

struct Row {
  DType dtype;
  std::string_view name;
  int bits;
  Kind kind;
};

constexpr std::array kRows = {
    Row{DType::kUndefined, "undefined", 0, Kind::kOther},
    Row{DType::kFloat32, "float32", 32, Kind::kFloating},
    Row{DType::kFloat64, "float64", 64, Kind::kFloating},
    Row{DType::kFloat16, "float16", 16, Kind::kFloating},
    Row{DType::kBFloat16, "bfloat16", 16, Kind::kFloating},
    Row{DType::kInt8, "int8", 8, Kind::kSigned},
    Row{DType::kInt16, "int16", 16, Kind::kSigned},
    Row{DType::kInt32, "int32", 32, Kind::kSigned},
    Row{DType::kInt64, "int64", 64, Kind::kSigned},
    Row{DType::kUInt8, "uint8", 8, Kind::kUnsigned},
    Row{DType::kUInt16, "uint16", 16, Kind::kUnsigned},
    Row{DType::kUInt32, "uint32", 32, Kind::kUnsigned},
    Row{DType::kUInt64, "uint64", 64, Kind::kUnsigned},
    Row{DType::kBool, "bool", 8, Kind::kOther},
    Row{DType::kInt4, "int4", 4, Kind::kSigned},
    Row{DType::kUInt4, "uint4", 4, Kind::kUnsigned},
    Row{DType::kFloat8E4M3FN, "float8e4m3fn", 8, Kind::kFloating},
    Row{DType::kFloat8E4M3FNUZ, "float8e4m3fnuz", 8, Kind::kFloating},
    Row{DType::kFloat8E5M2, "float8e5m2", 8, Kind::kFloating},
    Row{DType::kFloat8E5M2FNUZ, "float8e5m2fnuz", 8, Kind::kFloating},
    Row{DType::kFloat4E2M1, "float4e2m1", 4, Kind::kFloating},
    Row{DType::kComplex64, "complex64", 64, Kind::kOther},
    Row{DType::kComplex128, "complex128", 128, Kind::kOther},
    Row{DType::kString, "string", 0, Kind::kOther},
};

constexpr const Row& row_of(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

constexpr bool rows_are_in_order() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].dtype != static_cast<DType>(i)) return false;
  }
  return true;
}
static_assert(rows_are_in_order());

}  // namespace

std::string_view name_of(DType dtype) { return row_of(dtype).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

int bit_width(DType dtype) { return row_of(dtype).bits; }
size_t element_bytes(DType dtype) { return (static_cast<size_t>(row_of(dtype).bits) + 7) / 8; }
bool is_floating(DType dtype) { return row_of(dtype).kind == Kind::kFloating; }
bool is_signed_integer(DType dtype) { return row_of(dtype).kind == Kind::kSigned; }
bool is_integer(DType dtype) { return is_signed_integer(dtype) || row_of(dtype).kind == Kind::kUnsigned; }

}  // namespace amct

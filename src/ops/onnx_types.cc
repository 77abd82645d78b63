#include "ops/onnx_types.h"

#include <array>

namespace amct {
namespace {

constexpr std::array kByCode = {
    DType::kUndefined,      DType::kFloat32,  DType::kUInt8,        DType::kInt8,           DType::kUInt16,
    DType::kInt16,          DType::kInt32,    DType::kInt64,        DType::kString,         DType::kBool,
    DType::kFloat16,        DType::kFloat64,  DType::kUInt32,       DType::kUInt64,         DType::kComplex64,
    DType::kComplex128,     DType::kBFloat16, DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2,
    DType::kFloat8E5M2FNUZ, DType::kUInt4,    DType::kInt4,         DType::kFloat4E2M1,
};

}  // namespace

std::optional<DType> dtype_from_onnx(int64_t code) {
  if (code <= 0 || code >= static_cast<int64_t>(kByCode.size())) return std::nullopt;
  return kByCode[static_cast<size_t>(code)];
}

int32_t onnx_code(DType dtype) {
  for (size_t code = 0; code < kByCode.size(); ++code) {
    if (kByCode[code] == dtype) return static_cast<int32_t>(code);
  }
  return 0;
}

}  // namespace amct

// Element types as ONNX numbers them (TensorProto.DataType): in files, and in attributes such as Cast's `to`.
#pragma once

#include <cstdint>
#include <optional>

#include "ir/dtype.h"

namespace amct {

std::optional<DType> dtype_from_onnx(int64_t code);  // nullopt for 0 and for numbers that ONNX does not define
int32_t onnx_code(DType dtype);                      // 0 for kUndefined

}  // namespace amct

// Operands of ONNX's integer operators: 8-bit integers with zero points, and scales, per tensor, row, column or
// channel.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/op_row.h"

namespace amct {

// The elements of an 8-bit or 32-bit integer tensor; empty for an absent one.
std::vector<int32_t> integers_of(const TensorView& tensor);
// The elements of a floating-point tensor in float32.
std::vector<float> floats_of(const TensorView& tensor);

// Saturates round_half_even(value) + zero to int8 or uint8 and stores it as element `index`.
void store_quantized(float value, int32_t zero, const MutableView& y, int64_t index);

// Fails unless the type of an input is int8 or uint8 (or not known).
void check_8_bits(const InferContext& c, size_t port);

}  // namespace amct

// Operands of ONNX's integer operators: 8-bit integers with zero points, and scales, per tensor, row, column or
// channel.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "ops/op_row.h"

namespace amct {

// The elements of an 8-bit or 32-bit integer tensor; empty for an absent one.
std::vector<int32_t> integers_of(const TensorView& tensor);
// The elements of a floating-point tensor in float32.
std::vector<float> floats_of(const TensorView& tensor);

// Saturates round_half_even(value) + zero to int8 or uint8 and stores it as element `index`.
void store_quantized(float value, int32_t zero, const MutableView& y, int64_t index);

// What a shape rule asks of operands and their parameters; each fails where the opposite is known. Absent inputs pass.
void check_8_bits(const InferContext& c, size_t port);  // int8 or uint8
void check_scale_type(const InferContext& c, size_t port);
void check_zero_type(const InferContext& c, size_t port, size_t operand);  // the type of the operand
void check_entries(const InferContext& c, size_t port, std::initializer_list<int64_t> counts);  // one of these

// Inputs of samples: a scale, a zero point, and random integers of all values.
inline SampleInput sample_scale(float value) { return fixed(Tensor::scalar<float>(value)); }
inline SampleInput sample_zero(uint8_t value) { return fixed(Tensor::scalar<uint8_t>(value)); }
inline SampleInput sample_bytes(Dims dims) { return random_input(std::move(dims), 0, 255, DType::kUInt8); }

}  // namespace amct

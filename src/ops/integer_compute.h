// The integer variants of the compute rows: int4, int8, uint8 or int16 activations with int8 weights and an int32 bias
// give exact sums: int32 where no input can make the layer exceed it, else int64.
//
// The rows of conv, conv_transpose, gemm, matmul and average_pool call these when the type of input 0 is one of those
// (int4 takes a byte in memory, and the kernels of int8). Shape rules are those of the float variant. The attribute
// `x_offset` (default 0, not in ONNX, never exported) is subtracted from every element of the integer input before
// padding, so that pads are zeros. Average pooling adds integers too and gives float32(sum) / float32(count), the
// division that follows on Ascend: windows at the border may hold fewer elements, so the count cannot be part of the
// dequantization parameter.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "kernels/simd/int_conv.h"
#include "ops/lower.h"
#include "ops/run.h"
#include "ops/window.h"

namespace amct {

// True for the types that the integer variants take as input 0.
inline bool is_integer_compute(DType dtype) {
  return dtype == DType::kInt8 || dtype == DType::kUInt8 || dtype == DType::kInt16 || dtype == DType::kInt4;
}

// The type of the sums of `depth` products (nullopt = not known) and a bias (`bias` null = not known, if there is one):
// int32 if depth * max|w| * max|x - x_offset| + max|bias| fits, else int64.
DType integer_sum_type(DType activation, std::optional<int64_t> depth, bool has_bias, const Tensor* bias);

// What the integer kernels call this type; int8 for all but int16 and uint8.
IntInput::Type integer_type(DType dtype);
// x with the offset that the node takes off; Error(kInput) if it does not fit the type.
IntInput integer_input(const Node& node, const TensorView& x);
// The shape that they work on, from the logical extents of the operands.
IntConvShape int_window_shape(const Dims& x, const Dims& y, const dnn::Window& window, int64_t groups, Layout layout);
IntConvShape int_conv_shape(const Node& node, const Dims& x, const Dims& y, const Dims& w, Layout layout,
                            bool transposed = false);

// The product of `rows` rows of k integers with a matrix of 8-bit integers, as a convolution over pixels of k channels:
// column n takes b[n * stride_n + i * stride_k] less zeros[n] (null: none) times element i.
struct IntMatrix {
  const void* data = nullptr;
  DType dtype = DType::kInt8;  // or kUInt8
  int64_t n = 0, k = 0, stride_n = 0, stride_k = 0;
  const int32_t* zeros = nullptr;
};
IntConv int_product(const IntMatrix& b, int64_t rows, const IntConv::Options& packing);

void run_integer_conv(RunContext& c);
void run_integer_conv_transpose(RunContext& c);
void run_integer_gemm(RunContext& c);
void run_integer_matmul(RunContext& c);
void run_integer_average_pool(RunContext& c);

// Compiled steps of the same; null = the executor runs the plain kernel.
std::unique_ptr<Step> lower_integer_conv(const LowerContext& c);
std::unique_ptr<Step> lower_integer_conv_transpose(const LowerContext& c);
std::unique_ptr<Step> lower_integer_gemm(const LowerContext& c);
std::unique_ptr<Step> lower_integer_matmul(const LowerContext& c);
std::unique_ptr<Step> lower_integer_average_pool(const LowerContext& c);

}  // namespace amct

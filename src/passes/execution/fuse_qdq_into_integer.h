// Turns the layers of a Q/DQ graph into integer layers, as runtimes do before they execute one:
// clang-format off
//   dequantize x, w, bias -> conv, matmul -> quantize   becomes  qlinear_conv, qlinear_matmul
//   dequantize x, w, bias -> conv, gemm, matmul         becomes  layer on integers -> dequantize (x_scale * w_scale)
//   dequantize a, b -> add -> quantize                  becomes  qlinear_add
//   dequantize -> average -> quantize                   becomes  average of integers -> quantize (y_scale / x_scale)
// clang-format on
// A ReLU or Clip before the quantizer goes where the quantizer's range implies it. Products are summed exactly and
// requantized by one factor x_scale * w_scale / y_scale, so that a result may differ by one quantum from the one that
// is computed in floats. A float bias is rounded to steps of x_scale * w_scale first.
//
// Left alone, with the reason in the report: activations that are not 8-bit integers of one scale, weights that are
// computed or have scales along another axis, a bias that is computed or an integer of another scale, and layers whose
// sums could leave 32 bits.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_qdq_into_integer(Graph& graph, const PassContext& context);

}  // namespace amct

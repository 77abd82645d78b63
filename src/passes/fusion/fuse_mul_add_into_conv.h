// Folds arithmetic with constants into the layer before it (spec D.6).
//
// before -> after: y = conv(x, W, b) * s + t   ->   y = conv(x, s W, s b + t)
//
// For add, sub, mul and div by a scalar or by one number per output channel, behind a convolution (plain, grouped,
// depthwise, transposed), a gemm or, without summand, a matmul with constant weight. The layer keeps its name. Does not
// fire, and says so, where the layer's result has other uses, its weight or bias is computed, the constant varies along
// other axes or widens the result, the folded numbers would not be finite (division by zero), or the user wants the
// layer left alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_mul_add_into_conv(Graph& graph, const PassContext& context);

}  // namespace amct

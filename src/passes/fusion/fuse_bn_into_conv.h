// Folds batch normalization into the layer before it (spec C.11).
//
// before -> after: y = batch_norm(conv(x, W, b), gamma, beta, mean, var)   ->   y = conv(x, W', b')
//   W' = W gamma / sqrt(var + epsilon) per output channel,  b' = (b - mean) gamma / sqrt(var + epsilon) + beta
//
// The layer is a convolution of 1, 2 or 3 dimensions, plain, grouped, depthwise or transposed, or a gemm; it keeps its
// name. Does not fire, and says so, where the layer's result has other uses, its weight or bias is computed, the folded
// numbers would not be finite, or the user wants the layer left alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_bn_into_conv(Graph& graph, const PassContext& context);

}  // namespace amct

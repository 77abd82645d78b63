// Folds batch normalization into the layer behind it (spec C.11).
//
// before -> after: y = conv(batch_norm(x), W, b)   ->   y = conv(x, W', b')
//   with s = gamma / sqrt(var + epsilon), t = beta - mean s:  W' = W s per input channel,  b' = b + sum of W t
//
// The layer is a convolution or a gemm, or, without shift t, a transposed convolution or a matmul; it keeps its name.
// Exact only where every output sums the whole kernel: does not fire, and says so, on a padded convolution unless t is
// zero, for the padding is zero behind the batch norm and would have to be -t / s before it. Nor where the batch norm's
// result has other uses, the weight or bias is computed, the folded numbers would not be finite, or the user wants the
// layer left alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_bn_before_conv(Graph& graph, const PassContext& context);

}  // namespace amct

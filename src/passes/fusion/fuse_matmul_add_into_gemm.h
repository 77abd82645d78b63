// Turns a matrix product with a bias into one layer.
//
// before -> after: y = add(matmul(x, W), c)   ->   y = gemm(x, W, c)
//
// For x of rank 2, constant W of rank 2 and a constant c that is a scalar or one number per column. The gemm keeps the
// name of the matmul. Does not fire on batched products (gemm has rank 2), on products of activations, on a c that is
// computed (a residual) or widens the result, or where the product has other uses or the user wants the layer left
// alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_matmul_add_into_gemm(Graph& graph, const PassContext& context);

}  // namespace amct

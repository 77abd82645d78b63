// Batched matrix product with broadcasting batch axes, bias and post-operations.
#pragma once

#include <memory>
#include <vector>

#include "ir/tensor.h"
#include "kernels/dnnl/kernel.h"

namespace amct::dnn {

// dst (…, M, N) = a (…, M, K) b (…, K, N) + bias; all of one rank >= 2, batch extents equal or 1.
struct MatmulSpec {
  Dims a_dims, b_dims, dst_dims;
  bool a_transposed = false;  // memory holds (…, K, M)
  bool b_transposed = false;  // memory holds (…, N, K)
  Dims bias_dims;             // empty = no bias; of the same rank, every extent 1 or the result's
  Tensor b;                   // set if constant: packed once, here; elements in memory order
  Tensor bias;                // set if constant
  std::vector<PostOp> post_ops;
  int threads = 1;
};

// Inputs to bind: a, b, bias. Null if the library has no optimized implementation of the case.
std::unique_ptr<Kernel> make_matmul(const MatmulSpec& spec);

}  // namespace amct::dnn

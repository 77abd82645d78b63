// Convolution and transposed convolution of float32 over 1 to 3 spatial axes, with groups, dilation, bias and
// post-operations; n sample, o output channel, i input channel of o's group, p and s positions (lists over the axes):
//   y[n, o, p] = post(bias[o] + sum over i, s of w[o, i, s] x[n, i, p stride + s dilation - pad_begin])
// with x = 0 outside the image. Transposed, every x[n, i, q] is added, times w[o, i, s], to
// y[n, o, q stride + s dilation - pad_begin] instead.
#pragma once

#include <memory>
#include <vector>

#include "ir/tensor.h"
#include "kernels/dnnl/kernel.h"

namespace amct::dnn {

// Weights are (out, in / groups, spatial…), row-major, for both directions.
struct ConvolutionSpec {
  bool transposed = false;
  Operand src, dst;
  Dims weight_dims;
  int64_t groups = 1;
  bool has_bias = false;
  Tensor weights;  // set if constant: packed once, here; otherwise packed in every call
  Tensor bias;     // set if constant
  Window window;
  std::vector<PostOp> post_ops;
  int threads = 1;  // the primitive is tuned for so many
};

// Inputs to bind: src, weights, bias. Null if the library has no optimized implementation of the case.
std::unique_ptr<Kernel> make_convolution(const ConvolutionSpec& spec);

}  // namespace amct::dnn

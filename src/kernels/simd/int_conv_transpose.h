// Exact transposed convolutions of integers. Definition and bounds: int_conv.h.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/simd/int_conv_shape.h"
#include "kernels/simd/int_gemm.h"

namespace amct {

// A transposed convolution; `shape.pads` are cut off at the beginning of each output axis.
class IntConvTranspose {
 public:
  // Weight (group g, output o of the group, input i of the group, position s) is
  // weights[g * in_group * out_group * S + o * stride_out + i * stride_in + s], S positions in all.
  template <typename T>
  IntConvTranspose(const IntConvShape& shape, const T* weights, int64_t stride_out, int64_t stride_in);
  template <typename Acc>
  void run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const;

 private:
  template <typename Acc>
  struct Workspace;  // of one thread
  template <typename Acc>
  void scatter_group(Workspace<Acc>& work, int64_t group, int32_t zero) const;
  IntConvShape shape_;
  std::vector<PackedWeights> groups_;  // rows (out / group, spatial)
};

}  // namespace amct

// Exact transposed convolutions of integers, and the sums of windows that average pooling divides. Definition and
// bounds: int_conv.h.
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
  void scatter_group(const int16_t* image, int64_t group, int32_t zero, Acc* sums) const;
  IntConvShape shape_;
  std::vector<PackedWeights> groups_;  // rows (out / group, spatial)
};

// Sums of the window's elements minus x_zero each, pads left out: the part of average pooling that is exact.
void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums);

}  // namespace amct

// Exact integer convolutions, the definition of what a quantized layer computes:
//   y = sum w * (x - x_zero) + bias, with x - x_zero padded by zero.
// One sample at a time becomes 16-bit integers in channels-last order with its pads filled with x_zero; rows of patches
// of it go through int_gemm, and x_zero * sum(w) is taken off afterwards, so that 16-bit inputs with an offset need no
// 17th bit. Depthwise convolutions multiply and add channel by channel without patches.
//
// 32-bit results are exact modulo 2^32, 64-bit results always; the caller knows the bound (ops/integer_compute.h).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/simd/int_gemm.h"

namespace amct {

// Extents with three spatial axes; leading ones stand for missing axes.
struct IntConvShape {
  using Spatial = std::array<int64_t, 3>;
  int64_t batch = 1;
  int64_t groups = 1;
  int64_t in_channels = 1;   // of all groups
  int64_t out_channels = 1;  // of all groups
  Spatial input{1, 1, 1}, output{1, 1, 1}, kernel{1, 1, 1}, strides{1, 1, 1}, dilations{1, 1, 1},
      pads{0, 0, 0};           // begin
  bool channels_last = false;  // of x and y

  int64_t in_group() const { return in_channels / groups; }
  int64_t out_group() const { return out_channels / groups; }
  static int64_t product(const Spatial& s) { return s[0] * s[1] * s[2]; }
};

// x and its zero point; the type is one of int8_t, uint8_t, int16_t.
struct IntInput {
  const void* data = nullptr;
  enum class Type { kInt8, kUInt8, kInt16 } type = Type::kInt8;
  int32_t zero = 0;
};

// A convolution with packed weights; immutable, shared by threads.
class IntConv {
 public:
  // `weights` in order (out, in / group, spatial…), minus `weight_zero` (one per output channel, or null).
  template <typename T>
  IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero = nullptr);
  // `bias`: one value per output channel, or null. Acc is int32_t or int64_t.
  template <typename Acc>
  void run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const;

 private:
  template <typename Acc>
  void depthwise_tile(const int16_t* image, int64_t begin, int64_t end, Acc* rows) const;
  template <typename Acc>
  void group_tile(const int16_t* image, int64_t group, int64_t begin, int64_t end, int32_t zero, Acc* rows) const;
  const int16_t* patch(const int16_t* image, int64_t pixel) const;
  void copy_patch(const int16_t* from, int64_t group, int16_t* to) const;
  bool is_depthwise() const { return shape_.in_group() == 1 && shape_.out_group() == 1; }

  IntConvShape shape_;
  IntConvShape::Spatial padded_;       // extents of the padded image
  std::vector<PackedWeights> groups_;  // (spatial, in / group) in depth
  std::vector<int16_t> depthwise_;     // (spatial, channels)
  std::vector<int64_t> weight_sums_;   // per output channel
};

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

// Sums of the window's elements minus x_zero each, pads left out: the part of average pooling that is exact. `counts`
// receives the number of elements inside the input for each output position.
void int_window_sums(const IntConvShape& shape, const IntInput& x, int64_t* sums, int64_t* counts);

}  // namespace amct

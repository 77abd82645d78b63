// Exact integer convolutions, the definition of what a quantized layer computes:
//   y = sum w * (x - x_zero) + bias, with x - x_zero padded by zero.
// Inputs of 8 bits are multiplied as bytes where the processor has an instruction for it and the weights are bytes too
// (byte_conv.h), and channel by channel in depthwise layers (byte_depthwise.h). All others become 16-bit integers, one
// sample at a time, in channels-last order with pads filled with x_zero; rows of patches go through int_gemm, and
// x_zero * sum(w) is taken off afterwards, so that 16-bit inputs with an offset need no 17th bit.
//
// All ways give the same: 32-bit results are exact modulo 2^32, 64-bit results always; the caller knows the bound
// (ops/integer_compute.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/simd/byte_dot.h"
#include "kernels/simd/int_conv_shape.h"
#include "kernels/simd/int_epilogue.h"
#include "kernels/simd/int_gemm.h"

namespace amct {

class ByteConv;
class ByteDepthwise;

// A convolution with packed weights; immutable, shared by threads.
class IntConv {
 public:
  struct Options {
    bool bytes_only = false;  // inputs will have 8 bits and zero points of their type: saves packing for others
    // Tests and benchmarks force slower ways: other instructions first, or none, and pairs in depthwise layers.
    std::span<const ByteDot> dots = byte_dots();
    bool depthwise_quads = true;
  };
  // `weights` in order (out, in / group, spatial…), minus `weight_zero` (one per output channel, or null).
  template <typename T>
  IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero, const Options& options);
  template <typename T>
  IntConv(const IntConvShape& shape, const T* weights, const int32_t* weight_zero = nullptr)
      : IntConv(shape, weights, weight_zero, Options()) {}
  ~IntConv();
  IntConv(IntConv&&) noexcept;

  // `bias`: one value per output channel, or null. Acc is int32_t or int64_t.
  template <typename Acc>
  void run(const IntInput& x, const int32_t* bias, Acc* y, int threads) const;
  // Channels last, with sums that fit 32 bits: `epilogue` has as many channels as the convolution. `scratch` holds
  // `scratch_bytes`, or is null.
  void run(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
           int threads, std::byte* scratch = nullptr) const;
  size_t scratch_bytes() const { return start_bytes() + image_bytes(); }
  // "simd", or the instruction that multiplies bytes: "simd:avx512_vnni".
  std::string implementation(IntInput::Type type) const;

 private:
  // Memory that one thread multiplies 16-bit integers in.
  template <typename Acc>
  struct Workspace;
  // One tile: pixels [begin, end) of an image, in which the zero point is left.
  struct Tile {
    const int16_t* image;
    int64_t begin, end;
    int32_t zero;
  };
  template <typename Acc>
  void depthwise_tile(const Tile& tile, Acc* rows) const;
  template <typename Acc>
  void group_tile(const Tile& tile, int64_t group, Workspace<Acc>& work, Acc* rows) const;
  template <typename Acc>
  void sum_tile(const Tile& tile, Workspace<Acc>& work, Acc* rows) const;
  const int16_t* patch(const int16_t* image, int64_t pixel) const;
  void copy_patch(const int16_t* from, int16_t* to) const;
  bool patches_lie_in_image() const;
  int64_t tile_pixels() const;  // that are multiplied at once
  bool is_depthwise() const { return shape_.in_group() == 1 && shape_.out_group() == 1; }
  void pack_16_bits(const std::vector<int16_t>& ordered);  // (out, spatial, in / group)
  bool takes_bytes(const IntInput& x) const;
  void run_bytes(const IntInput& x, const int32_t* bias, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
                 int threads, std::byte* scratch) const;
  size_t start_bytes() const;
  size_t image_bytes() const;
  // Calls f(sample, tile, workspace) for tiles of all output pixels.
  template <typename Acc, typename F>
  void each_tile(const IntInput& x, int threads, F&& f) const;

  IntConvShape shape_;
  IntConvShape::Spatial padded_;       // extents of the padded image
  bool joins_rows_;                    // of windows: their values are adjacent in the image
  std::vector<int64_t> offsets_;       // of the window's positions or rows
  std::vector<PackedWeights> groups_;  // (spatial, in / group) in depth
  std::vector<int16_t> depthwise_;     // (spatial, channels)
  std::vector<int64_t> weight_sums_;   // per output channel
  std::unique_ptr<ByteConv> bytes_;
  std::unique_ptr<ByteDepthwise> byte_depthwise_;
};

}  // namespace amct

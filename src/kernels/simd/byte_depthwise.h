// Depthwise convolutions of bytes: every channel has its own filter. Channels stand side by side in vectors; the
// window's positions are taken in pairs, whose products the processor's 16-bit multiply-add adds into 32-bit lanes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/simd/byte_conv.h"

namespace amct {

class ByteDepthwise {
 public:
  // `weights`: (channels, spatial), from -255 to 255.
  ByteDepthwise(const IntConvShape& shape, std::span<const int16_t> weights);
  size_t scratch_bytes() const { return image_.bytes(); }
  // As ByteConv::run.
  void run(const IntInput& x, const std::vector<int32_t>& start, const IntEpilogue& epilogue,
           const IntEpilogue::Rows& to, int threads, uint8_t* scratch) const;

 private:
  IntConvShape shape_;
  ByteImage image_;
  std::vector<int64_t> offsets_;  // of the positions: an even number, the last one twice if need be
  std::vector<int16_t> weights_;  // (block of channels, pair of positions, channel, 2)
};

}  // namespace amct

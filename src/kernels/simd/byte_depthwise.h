// Depthwise convolutions of bytes: every channel has its own filter. Channels stand side by side in vectors; the
// window's positions are taken in pairs, whose products the processor's 16-bit multiply-add adds into 32-bit lanes, or
// in quads (byte_depthwise_quads.cc). With stride 1 neighbouring pixels fill up the vectors: the channels of all of
// them are the columns of one wider pixel, whose filters repeat.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/simd/byte_conv.h"

namespace amct {

class ByteDepthwise {
 public:
  // `weights`: (channels, spatial), from -255 to 255. `quads` false: pairs everywhere.
  ByteDepthwise(const IntConvShape& shape, std::span<const int16_t> weights, bool quads = true);
  size_t scratch_bytes() const { return image_.bytes(); }
  // As ByteConv::run.
  void run(const IntInput& x, const int32_t* start, const IntEpilogue& epilogue, const IntEpilogue::Rows& to,
           int threads, uint8_t* scratch) const;

 private:
  // Up to 64 columns, packed in one way or the other.
  struct Block {
    int64_t first = 0, count = 0;
    std::vector<int16_t> pairs;  // (pair of positions, column, 2)
    std::vector<int8_t> quads;   // byte_depthwise_tile.h
  };
  struct Job;
  void run_rows(const Job& job, const Block& block, int64_t begin, int64_t end) const;
  void run_pixels(const Job& job, const Block& block, const int32_t* start, int64_t first, int64_t count) const;

  IntConvShape shape_;
  ByteImage image_;
  int64_t pixels_;  // side by side
  std::vector<int64_t> pair_offsets_,
      quad_offsets_;  // of the positions, the last one repeated to whole pairs and quads
  std::vector<Block> blocks_;
};

}  // namespace amct

// The tile of byte_depthwise.h: a few pixels times a block of channels, and its form for AVX-512 with VNNI.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace amct {

struct DepthwiseTile {
  static constexpr int64_t kPixels = 32;
  static constexpr int64_t kChannels = 64;
  const uint8_t* const* x =
      nullptr;  // windows of pixels, at the block's first channel; 64 bytes may be read everywhere
  int64_t pixels = 0;
  std::span<const int64_t> offsets;  // of the window's positions, as many as the weights are packed for
  int64_t channels = 0;              // of this block
  const void* weights = nullptr;     // of this block
  const int32_t* start = nullptr;    // kChannels values
  int32_t* sums = nullptr;           // `pixels` rows of kChannels values
};

// Positions in fours: `depthwise_quads_supported` says whether this processor has the instructions.
bool depthwise_quads_supported();
// The weights of one block: element (channel, position) is w[channel * positions + position], all within int8.
void pack_depthwise_quads(const int16_t* w, int64_t channels, int64_t positions, std::vector<int8_t>& packed);
// `offsets` holds a multiple of four entries.
void depthwise_quads(const DepthwiseTile& tile);

}  // namespace amct

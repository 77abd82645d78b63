// Planes of bytes to pixels of three of them: photographs in the order that convolutions read.
#pragma once

#include <cstdint>

namespace amct {

// pixels[3 * i + c] = planes[c * count + i]
void interleave_3_bytes(const uint8_t* planes, int64_t count, uint8_t* pixels);

}  // namespace amct

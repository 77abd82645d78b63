// Changes the memory order of images between channels first (N, C, S) and channels last (N, S, C), S = all spatial
// positions. Elements are moved by size; nothing is computed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace amct {

struct LayoutExtents {
  int64_t batch = 1;
  int64_t channels = 1;
  int64_t positions = 1;  // product of the spatial extents
};

// `from` and `to` hold batch * channels * positions elements of `element_bytes` (1, 2, 4 or 8) and do not overlap.
void channels_first_to_last(const void* from, void* to, const LayoutExtents& extents, size_t element_bytes);
void channels_last_to_first(const void* from, void* to, const LayoutExtents& extents, size_t element_bytes);

}  // namespace amct

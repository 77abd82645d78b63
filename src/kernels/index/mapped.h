// Copy through one table of offsets an axis: padding in every mode, nearest-neighbour resizing, slicing with any step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace amct {

inline constexpr int64_t kFillOffset = -1;  // the element comes from the fill value

// target[i_0, …, i_n] = source[offsets_0[i_0] + … + offsets_n[i_n]], or `*fill` if one of them is kFillOffset. Offsets
// count elements; the target is dense, with extents offsets_k.size(). `fill` may be null if no offset needs it.
void copy_mapped(size_t element_bytes, std::vector<std::vector<int64_t>> offsets, const void* source, const void* fill,
                 void* target);

}  // namespace amct

// Movement of elements between two strided arrangements: one engine under transpose, concat, split, slice, expand,
// tile, depth-to-space and every change of layout. Elements are moved by size; their values are never looked at.
//
// The loops run over the common refinement of both arrangements: neighbouring axes that are contiguous in both become
// one, an innermost run that is dense in both is one memcpy, and a transposed pair of axes is copied in square tiles.
#pragma once

#include <cstddef>
#include <vector>

#include "ir/shape.h"

namespace amct {

// Strides of a dense row-major array, in elements.
Dims row_major_strides(const Dims& dims);

// target[sum i_k * target_strides_k] = source[sum i_k * source_strides_k] for all 0 <= i_k < dims_k. Strides count
// elements; a source stride may be 0 (repeat) or negative (reverse, with `source` at the first element read). The two
// regions must not overlap.
void copy_strided(size_t element_bytes, const Dims& dims, const void* source, const Dims& source_strides, void* target,
                  const Dims& target_strides);

// target = source with its axes in the order `perm`: axis k of the target is axis perm[k] of the source.
void transpose(size_t element_bytes, const Dims& source_dims, const std::vector<size_t>& perm, const void* source,
               void* target);

// Fills `count` elements with the one at `element`.
void fill_elements(size_t element_bytes, const void* element, int64_t count, void* target);

}  // namespace amct

// Elements and blocks taken from, or put to, positions that a tensor of indices names.
#pragma once

#include <cstddef>
#include <vector>

#include "ir/tensor.h"

namespace amct {

// The indices of an int32 or int64 view, negative ones counted from the end of an axis of `extent`. Throws
// Error(kInput) naming the first that is out of range.
std::vector<int64_t> normalized_indices(const TensorView& view, int64_t extent);

// source (outer, extent, inner), target (outer, indices.size(), inner): target[o, k, i] = source[o, indices[k], i].
void gather_blocks(size_t element_bytes, int64_t outer, int64_t extent, int64_t inner,
                   const std::vector<int64_t>& indices, const void* source, void* target);

// target[p] = source[p with coordinate `axis` replaced by indices[p]]; target and indices have extents `dims`, of which
// none but `axis` may exceed the source's.
void gather_elements(size_t element_bytes, const Dims& source_dims, const Dims& dims, size_t axis,
                     const std::vector<int64_t>& indices, const void* source, void* target);

// Rows of the last axis of `indices` name blocks of `data` behind `batch_dims` common leading axes. Element offsets of
// the blocks, in order. Throws Error(kInput) on an index out of range.
std::vector<int64_t> block_offsets(const TensorView& indices, const Dims& data_dims, size_t batch_dims);

enum class ScatterReduction { kNone, kAdd, kMul, kMax, kMin };

// data[offsets[k] + i] = reduction(data[offsets[k] + i], updates[k * block + i]) for k in order, 0 <= i < block.
void scatter_blocks(ScatterReduction reduction, DType dtype, const std::vector<int64_t>& offsets, int64_t block,
                    const void* updates, void* data);

// The offset in an array of `data_dims` of every position of an array of `dims` with coordinate `axis` replaced.
std::vector<int64_t> element_offsets(const Dims& data_dims, const Dims& dims, size_t axis,
                                     const std::vector<int64_t>& indices);

}  // namespace amct

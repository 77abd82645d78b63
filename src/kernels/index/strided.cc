#include "kernels/index/strided.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "kernels/index/element.h"
#include "kernels/simd/transpose.h"

namespace amct {
namespace {

constexpr int64_t kTile = 16;  // elements a side: 16 x 16 x 8 bytes stay in the first-level cache

struct Loop {
  int64_t extent, source, target;
};

// Axes without those of extent 1, neighbours merged where both sides allow it.
std::vector<Loop> merged_loops(const Dims& dims, const Dims& source_strides, const Dims& target_strides) {
  std::vector<Loop> loops;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    const Loop loop{dims[i], source_strides[i], target_strides[i]};
    if (!loops.empty() && loops.back().source == loop.source * loop.extent &&
        loops.back().target == loop.target * loop.extent) {
      loops.back() = {loops.back().extent * loop.extent, loop.source, loop.target};
    } else {
      loops.push_back(loop);
    }
  }
  return loops;
}

template <typename T>
void copy_row(const Loop& loop, const T* source, T* target) {
  if (loop.source == 1 && loop.target == 1) {
    std::memcpy(target, source, static_cast<size_t>(loop.extent) * sizeof(T));
  } else if (loop.source == 0 && loop.target == 1) {
    std::fill_n(target, loop.extent, *source);
  } else {
    for (int64_t i = 0; i < loop.extent; ++i) target[i * loop.target] = source[i * loop.source];
  }
}

// `rows` is dense in the source, `columns` in the target.
template <typename T>
void copy_tiles(const Loop& rows, const Loop& columns, const T* source, T* target) {
  for (int64_t r0 = 0; r0 < rows.extent; r0 += kTile) {
    const int64_t r1 = std::min(r0 + kTile, rows.extent);
    for (int64_t c0 = 0; c0 < columns.extent; c0 += kTile) {
      const int64_t c1 = std::min(c0 + kTile, columns.extent);
      if constexpr (sizeof(T) == 4) {
        transpose_32(source + c0 * columns.source + r0, columns.source, r1 - r0, c1 - c0,
                     target + r0 * rows.target + c0, rows.target);
      } else {
        for (int64_t r = r0; r < r1; ++r) {
          for (int64_t c = c0; c < c1; ++c) target[r * rows.target + c] = source[c * columns.source + r];
        }
      }
    }
  }
}

template <typename T>
void copy_loops(std::vector<Loop> loops, const T* source, T* target) {
  if (loops.empty()) {
    *target = *source;
    return;
  }
  const Loop inner = loops.back();
  loops.pop_back();
  std::optional<Loop> rows;
  if (inner.target == 1 && inner.source != 1) {
    const auto dense = std::find_if(loops.begin(), loops.end(), [](const Loop& loop) { return loop.source == 1; });
    if (dense != loops.end()) {
      rows = *dense;
      loops.erase(dense);
    }
  }
  std::vector<int64_t> index(loops.size(), 0);
  while (true) {
    if (rows) {
      copy_tiles(*rows, inner, source, target);
    } else {
      copy_row(inner, source, target);
    }
    size_t axis = loops.size();
    while (axis > 0) {
      --axis;
      source += loops[axis].source;
      target += loops[axis].target;
      if (++index[axis] < loops[axis].extent) break;
      source -= loops[axis].source * loops[axis].extent;
      target -= loops[axis].target * loops[axis].extent;
      index[axis] = 0;
      if (axis == 0) return;
    }
    if (loops.empty()) return;
  }
}

}  // namespace

Dims row_major_strides(const Dims& dims) {
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

void copy_strided(size_t element_bytes, const Dims& dims, const void* source, const Dims& source_strides, void* target,
                  const Dims& target_strides) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return;
  std::vector<Loop> loops = merged_loops(dims, source_strides, target_strides);
  visit_element(element_bytes, [&]<typename T>(ElementTag<T>) {
    copy_loops(std::move(loops), static_cast<const T*>(source), static_cast<T*>(target));
  });
}

void transpose(size_t element_bytes, const Dims& source_dims, const std::vector<size_t>& perm, const void* source,
               void* target) {
  const Dims strides = row_major_strides(source_dims);
  Dims dims, source_strides;
  for (const size_t axis : perm) {
    dims.push_back(source_dims[axis]);
    source_strides.push_back(strides[axis]);
  }
  copy_strided(element_bytes, dims, source, source_strides, target, row_major_strides(dims));
}

void fill_elements(size_t element_bytes, const void* element, int64_t count, void* target) {
  visit_element(element_bytes, [&]<typename T>(ElementTag<T>) {
    std::fill_n(static_cast<T*>(target), count, *static_cast<const T*>(element));
  });
}

}  // namespace amct

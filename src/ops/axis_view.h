// A dense array seen from one axis: index = (o * extent + e) * inner + i. What kernels along an axis loop over.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/shape.h"

namespace amct {

struct AxisView {
  int64_t outer = 1, extent = 1, inner = 1;
};

// `dims` and `axis` as the memory has them.
inline AxisView axis_view(const Dims& dims, size_t axis) {
  AxisView view{1, dims[axis], 1};
  for (size_t i = 0; i < axis; ++i) view.outer *= dims[i];
  for (size_t i = axis + 1; i < dims.size(); ++i) view.inner *= dims[i];
  return view;
}

}  // namespace amct

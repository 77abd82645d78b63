// What the standard quantization operators share: which scale belongs to which element.
#pragma once

#include <cstdint>

#include "ops/op_row.h"

namespace amct {

struct IntegerBounds {
  int64_t low = 0;
  int64_t high = 0;
};
IntegerBounds integer_bounds(DType dtype);  // 4, 8, 16 and 32 bits; internal error for other types

// Fails unless the attribute, an offset or a zero point of integers of a type, is one of these integers.
void check_offset(const InferContext& c, const char* attr, DType dtype);
// Fails unless the attribute is a finite number above 0.
void check_factor(const InferContext& c, const char* attr);

// Element (outer, i, inner) of the data uses scale ((outer * groups + i / block) * inner_scales + inner %
// inner_scales): one scale for all, one per index of an axis, or one per block along an axis.
struct ScaleGrid {
  enum class Kind { kTensor, kAxis, kBlock };
  Kind kind = Kind::kTensor;
  int64_t outer = 1;
  int64_t extent = 1;  // of the axis
  int64_t inner = 1;
  int64_t block = 1;  // elements of the axis that share a scale

  static int64_t blocks_of(int64_t extent, int64_t block) { return extent / block + (extent % block != 0 ? 1 : 0); }
  int64_t scale_index(int64_t o, int64_t i, int64_t k) const {
    switch (kind) {
      case Kind::kTensor: return 0;
      case Kind::kAxis: return i;
      case Kind::kBlock: break;
    }
    return (o * blocks_of(extent, block) + i / block) * inner + k;
  }
};

// The grid for data of `x` and scales of `scale` (memory extents) with the node's `axis` and `block_size`. Throws
// Error(kInput) when they do not fit.
ScaleGrid scale_grid(const Node& node, const Dims& x, const Dims& scale, Layout layout);

// Shape rule of the scales against the data, as far as both are known.
void check_scales(const InferContext& c);

}  // namespace amct

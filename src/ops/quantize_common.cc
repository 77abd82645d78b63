#include "ops/quantize_common.h"

#include <fmt/core.h>

#include <cmath>

namespace amct {
IntegerBounds integer_bounds(DType dtype) {
  AMCT_CHECK(is_integer(dtype) && bit_width(dtype) <= 32, "no quantization to this type");
  const int bits = bit_width(dtype);
  if (!is_signed_integer(dtype)) return {0, (int64_t{1} << bits) - 1};
  return {-(int64_t{1} << (bits - 1)), (int64_t{1} << (bits - 1)) - 1};
}

void check_offset(const InferContext& c, const char* attr, DType dtype) {
  const IntegerBounds bounds = integer_bounds(dtype);
  const double offset = attr_float(c.node(), attr);
  if (offset >= static_cast<double>(bounds.low) && offset <= static_cast<double>(bounds.high) &&
      offset == std::floor(offset)) {
    return;
  }
  c.fail(fmt::format("{} is {}; an integer from {} to {} is needed", attr, offset, bounds.low, bounds.high));
}

void check_factor(const InferContext& c, const char* attr) {
  const double factor = attr_float(c.node(), attr);
  if (!(factor > 0 && std::isfinite(factor))) c.fail(fmt::format("{} is {}; a number above 0 is needed", attr, factor));
}

ScaleGrid scale_grid(const Node& node, const Dims& x, const Dims& scale, Layout layout) {
  const auto misfit = [&] {
    throw Error(ErrorCode::kInput,
                fmt::format("scales of shape {} do not fit data of shape {}", to_string(scale), to_string(x)),
                {.node = node.name, .op = node.op});
  };
  ScaleGrid grid;
  grid.inner = element_count(x);
  const int64_t block_size = attr_int(node, "block_size");
  if (block_size == 0 && element_count(scale) == 1 && (x.empty() || scale.empty() || scale.size() == 1)) return grid;
  const auto logical = static_cast<size_t>(normalize_axis(attr_int(node, "axis"), x.size()));
  const size_t axis = memory_axis(logical, x.size(), layout);
  grid.extent = x[axis];
  grid.inner = 1;
  for (size_t i = 0; i < axis; ++i) grid.outer *= x[i];
  for (size_t i = axis + 1; i < x.size(); ++i) grid.inner *= x[i];
  if (block_size == 0) {
    grid.kind = ScaleGrid::Kind::kAxis;
    if (scale.size() != 1 || scale[0] != grid.extent) misfit();
    return grid;
  }
  grid.kind = ScaleGrid::Kind::kBlock;
  grid.block = block_size;
  if (block_size < 0 || scale.size() != x.size()) misfit();
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t expected = i == axis ? ScaleGrid::blocks_of(x[i], block_size) : x[i];
    if (scale[i] != expected) misfit();
  }
  return grid;
}

void check_scales(const InferContext& c) {
  const auto x = c.shape(0).fixed();
  const auto scale = c.shape(1).fixed();
  if (x && scale) scale_grid(c.node(), *x, *scale, Layout::kPlain);
  if (c.has(2) && c.shape(1).is_fixed() && c.shape(2).is_fixed() &&
      c.shape(1).element_count() != c.shape(2).element_count()) {
    c.fail(fmt::format("scale {} and zero point {} differ in shape", c.shape(1).to_string(), c.shape(2).to_string()));
  }
}

}  // namespace amct

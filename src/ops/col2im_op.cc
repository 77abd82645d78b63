// Col2Im: blocks laid over an image and added up, the way back from the columns that a convolution multiplies.
//
// Input (N, C B, L) with B = product of block_shape and L = product over axes of
//   l = (image + pad_begin + pad_end - dilation (block - 1) - 1) / stride + 1   (rounded down);
// element (n, c, b, position) is added to the image at position * stride - pad_begin + offset * dilation, if that is
// inside. Sums of floats are taken in double, those of integers modulo 2^64; of truth values the sum is "or".
#include <fmt/core.h>

#include <algorithm>

#include "base/checked_math.h"
#include "ir/dispatch.h"
#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

struct Blocks {
  Ints image, block, count, strides, dilations, begins;
};

Ints per_axis(const Node& node, std::string_view name, size_t entries, int64_t fallback, int64_t low) {
  Ints values = node.attrs.has(name) ? attr_ints(node, name) : Ints(entries, fallback);
  const bool fits = std::all_of(values.begin(), values.end(),
                                [&](int64_t value) { return value >= low && value < (int64_t{1} << 31); });
  if (values.size() != entries || !fits) {
    throw Error(ErrorCode::kInput, fmt::format("{} {} do not fit a block of {} axes", name, to_string(values), entries),
                {.node = node.name, .op = node.op});
  }
  return values;
}

Blocks blocks_of(const Node& node, Ints image, Ints block) {
  const Where where{.node = node.name, .op = node.op};
  const size_t rank = block.size();
  const auto positive = [](int64_t extent) { return extent >= 1 && extent < (int64_t{1} << 31); };
  if (rank == 0 || image.size() != rank || !std::all_of(block.begin(), block.end(), positive) ||
      !std::all_of(image.begin(), image.end(), positive)) {
    throw Error(ErrorCode::kInput,
                fmt::format("blocks of {} do not fit an image of {}", to_string(block), to_string(image)), where);
  }
  Blocks b{std::move(image),
           std::move(block),
           Ints(rank),
           per_axis(node, "strides", rank, 1, 1),
           per_axis(node, "dilations", rank, 1, 1),
           per_axis(node, "pads", 2 * rank, 0, 0)};
  for (size_t i = 0; i < rank; ++i) {
    const int64_t room = b.image[i] + b.begins[i] + b.begins[rank + i] - 1;
    const auto reach = checked_mul(b.dilations[i], b.block[i] - 1);
    if (!reach || *reach > room) {
      throw Error(
          ErrorCode::kInput,
          fmt::format("a block of {} does not fit into axis {} of an image of {}", b.block[i], i, to_string(b.image)),
          where);
    }
    b.count[i] = (room - *reach) / b.strides[i] + 1;
  }
  return b;
}

void infer(InferContext& c) {
  const auto image = c.ints(1);
  const auto block = c.ints(2);
  const Shape& x = c.shape(0);
  if (x.ranked() && x.rank() != 3) c.fail(fmt::format("shape {} is not (samples, channels, blocks)", x.to_string()));
  if (!image) {
    const Shape& length = c.shape(1);
    const bool known = length.ranked() && length.rank() == 1 && length[0].is_fixed() && length[0].extent() < 64;
    return c.set_output(0, c.dtype(0), known ? Shape::of_rank(static_cast<size_t>(length[0].extent()) + 2) : Shape());
  }
  Shape shape = Shape::of_rank(2);
  if (x.ranked()) shape[0] = x[0];
  std::vector<Dim> dims = shape.dims();
  dims.insert(dims.end(), image->begin(), image->end());
  if (block) {
    const Blocks blocks = blocks_of(c.node(), *image, *block);
    const auto size = checked_product(blocks.block);
    const auto count = checked_product(blocks.count);
    if (!size || !count) c.fail("the blocks are beyond any memory");
    if (x.ranked() && x[1].is_fixed()) {
      if (x[1].extent() % *size != 0) c.fail(fmt::format("{} channels are no blocks of {}", x[1].extent(), *size));
      dims[1] = x[1].extent() / *size;
    }
    if (x.ranked() && x[2].is_fixed() && x[2].extent() != *count) {
      c.fail(fmt::format("{} blocks where the image holds {}", x[2].extent(), *count));
    }
  }
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

// Calls f(indices) for all positions of extents, in row-major order.
template <typename F>
void for_each_position(const Ints& extents, F&& f) {
  Ints at(extents.size(), 0);
  for (int64_t n = element_count(extents); n > 0; --n) {
    f(at);
    for (size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < extents[axis]) break;
      at[axis] = 0;
    }
  }
}

// The offset in the image of every element (block offset, block position); -1 outside.
std::vector<int64_t> image_offsets(const Blocks& b) {
  const Dims strides = row_major_strides(b.image);
  std::vector<int64_t> offsets;
  for_each_position(b.block, [&](const Ints& inside) {
    for_each_position(b.count, [&](const Ints& position) {
      int64_t offset = 0;
      for (size_t i = 0; i < inside.size() && offset >= 0; ++i) {
        const int64_t at = position[i] * b.strides[i] - b.begins[i] + inside[i] * b.dilations[i];
        offset = at >= 0 && at < b.image[i] ? offset + at * strides[i] : -1;
      }
      offsets.push_back(offset);
    });
  });
  return offsets;
}

void run(RunContext& c) {
  const std::vector<int64_t> offsets = image_offsets(blocks_of(c.node(), ints_of(c.input(1)), ints_of(c.input(2))));
  const Dims& out = c.output(0).dims;
  const int64_t planes = out[0] * out[1];
  const int64_t image = planes == 0 ? 0 : element_count(out) / planes;
  visit_numeric(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;
    std::vector<Sum> sums(static_cast<size_t>(image));
    for (int64_t plane = 0; plane < planes; ++plane) {
      std::fill(sums.begin(), sums.end(), Sum{});
      const T* from = c.input(0).as<T>() + plane * static_cast<int64_t>(offsets.size());
      for (size_t i = 0; i < offsets.size(); ++i) {
        if (offsets[i] >= 0)
          sums[static_cast<size_t>(offsets[i])] += static_cast<Sum>(static_cast<Compute<T>>(from[i]));
      }
      T* to = c.output(0).as<T>() + plane * image;
      for (size_t i = 0; i < sums.size(); ++i) to[i] = static_cast<T>(static_cast<Compute<T>>(sums[i]));
    }
  });
}

// A channel of the image is a run of columns.
std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& x = c.input(0);
  const Dims& y = c.output(0);
  add_tie(relations, x[0], {in_axis(0, 0), out_axis(0, 0)});
  AxisRef columns = in_axis(0, 1);
  columns.inner = y[1] == 0 ? 1 : x[1] / y[1];
  add_tie(relations, y[1], {columns, out_axis(0, 1)});
  relations.push_back(lock(in_axis(0, 2), "its entries are places in the image"));
  for (size_t i = 2; i < y.size(); ++i) relations.push_back(lock(out_axis(0, i), "its extent is given"));
  return relations;
}

std::vector<Sample> samples() {
  const auto ints = [](std::vector<int64_t> values) { return values; };
  return {
      {.name = "tiles", .inputs = {random_input({2, 15, 5}), fixed_ints({5, 5}), fixed_ints({1, 5})}},
      {.name = "overlapping",
       .inputs = {random_input({1, 12, 16}), fixed_ints({4, 5}), fixed_ints({2, 3})},
       .attrs = {{"pads", ints({0, 1, 1, 0})}}},
      {.name = "strided_dilated",
       .inputs = {random_input({1, 8, 9}), fixed_ints({7, 6}), fixed_ints({2, 2})},
       .attrs = {{"strides", ints({2, 2})}, {"dilations", ints({3, 1})}, {"pads", ints({0, 0, 1, 1})}}},
      {.name = "3d", .inputs = {random_input({1, 10, 12}), fixed_ints({3, 4, 5}), fixed_ints({1, 1, 5})}},
      {.name = "double",
       .inputs = {random_input({1, 3, 4}, -1, 1, DType::kFloat64), fixed_ints({6}), fixed_ints({3})},
       .skip_onnx_runtime = true,
       .reason = "ONNX Runtime has float32 alone, the reference takes no single axis"},
      {.name = "int32",
       .inputs = {random_input({1, 4, 6}, -9, 9, DType::kInt32), fixed_ints({3, 4}), fixed_ints({2, 2})}},
  };
}

}  // namespace

void add_col2im_op(OpTable& table) {
  table.add({.name = "col2im",
             .doc = "Adds up blocks of columns to images.",
             .inputs = {{.name = "input"}, shape_port("image_shape"), shape_port("block_shape")},
             .outputs = {{.name = "output"}},
             .attrs = {optional_attr("dilations", AttrType::kInts), optional_attr("pads", AttrType::kInts),
                       optional_attr("strides", AttrType::kInts)},
             .infer = infer,
             .timing = ShapeTiming::kFromValues,
             .run = run,
             .quant = QuantRule::keep_float("its sums have a range of their own"),
             .axes = axes,
             .spellings = {onnx("Col2Im", 18)},
             .samples = samples});
}

}  // namespace amct

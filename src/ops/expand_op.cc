// Expand and Tile: a tensor repeated by broadcasting or end to end.
#include <fmt/core.h>

#include <algorithm>

#include "base/checked_math.h"
#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

void infer_expand(InferContext& c) {
  const auto target = c.ints(1);
  if (!target) {
    const Shape& length = c.shape(1);
    const bool known =
        c.shape(0).ranked() && length.ranked() && length.rank() == 1 && length[0].is_fixed() && length[0].extent() < 64;
    const size_t rank = known ? std::max(c.shape(0).rank(), static_cast<size_t>(length[0].extent())) : 0;
    return c.set_output(0, c.dtype(0), known ? Shape::of_rank(rank) : Shape());
  }
  for (const int64_t extent : *target) {
    if (extent < 0) c.fail(fmt::format("the target shape {} has a negative extent", to_string(*target)));
  }
  const auto shape = broadcast(c.shape(0), Shape::of(*target));
  if (!shape) {
    c.fail(fmt::format("shape {} does not broadcast with {}", c.shape(0).to_string(), to_string(*target)));
  }
  c.set_output(0, c.dtype(0), *shape);
}

void run_expand(RunContext& c) {
  const Dims& in = c.input(0).dims;
  const Dims& out = c.output(0).dims;
  const Dims strides = row_major_strides(in);
  Dims repeated(out.size(), 0);
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] != 1) repeated[i + out.size() - in.size()] = strides[i];
  }
  copy_strided(element_bytes(c.input(0).dtype), out, c.input(0).data, repeated, c.output(0).data,
               row_major_strides(out));
}

std::vector<AxisRelation> axes_expand(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& in = c.input(0);
  const Dims& out = c.output(0);
  for (size_t axis = 0; axis < out.size(); ++axis) {
    std::vector<AxisRef> refs;
    if (axis + in.size() >= out.size() && in[axis + in.size() - out.size()] == out[axis]) {
      refs.push_back(in_axis(0, axis + in.size() - out.size()));
    }
    refs.push_back(out_axis(0, axis));
    add_tie(relations, out[axis], std::move(refs));
  }
  return relations;
}

void infer_tile(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto repeats = c.ints(1);
  if (!input.ranked() || !repeats) {
    return c.set_output(0, c.dtype(0), input.ranked() ? Shape::of_rank(input.rank()) : Shape());
  }
  if (repeats->size() != input.rank()) {
    c.fail(fmt::format("{} repeats do not fit shape {}", repeats->size(), input.to_string()));
  }
  Shape shape = input;
  for (size_t i = 0; i < input.rank(); ++i) {
    const int64_t repeat = (*repeats)[i];
    if (repeat < 0) c.fail(fmt::format("repeats {} has a negative element", to_string(*repeats)));
    if (repeat == 1) continue;
    const auto extent = input[i].is_fixed() ? checked_mul(input[i].extent(), repeat) : std::nullopt;
    if (input[i].is_fixed() && !extent) c.fail(fmt::format("repeats {} are too large", to_string(*repeats)));
    shape[i] = extent ? Dim(*extent) : Dim();
  }
  c.set_output(0, c.dtype(0), shape);
}

void run_tile(RunContext& c) {
  const Dims& in = c.input(0).dims;
  const Dims& out = c.output(0).dims;
  if (c.output(0).size() == 0) return;
  const Dims strides = row_major_strides(in);
  Dims dims, source;
  for (size_t i = 0; i < in.size(); ++i) {
    dims.insert(dims.end(), {out[i] / in[i], in[i]});
    source.insert(source.end(), {0, strides[i]});
  }
  copy_strided(element_bytes(c.input(0).dtype), dims, c.input(0).data, source, c.output(0).data,
               row_major_strides(dims));
}

std::vector<AxisRelation> axes_tile(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& in = c.input(0);
  const Dims& out = c.output(0);
  for (size_t axis = 0; axis < in.size(); ++axis) {
    if (in[axis] == 0 || out[axis] == 0) continue;
    AxisRef copies = out_axis(0, axis);
    copies.outer = out[axis] / in[axis];
    add_tie(relations, in[axis], {in_axis(0, axis), copies});
  }
  return relations;
}

std::vector<Sample> expand_samples() {
  return {
      {.name = "middle", .inputs = {random_input({3, 1, 5}), fixed_ints({3, 4, 5})}},
      {.name = "new_axes", .inputs = {random_input({5}, -9, 9, DType::kInt32), fixed_ints({2, 3, 1})}},
      {.name = "shorter_target", .inputs = {random_input({2, 1, 3}), fixed_ints({4, 3})}},
      {.name = "scalar", .inputs = {random_input({}, 0, 1, DType::kFloat64), fixed_ints({2, 3})}},
  };
}

std::vector<Sample> tile_samples() {
  return {
      {.name = "two_axes", .inputs = {random_input({2, 3, 5}), fixed_ints({1, 3, 2})}},
      {.name = "outer", .inputs = {random_input({3, 2}, 0, 9, DType::kUInt8), fixed_ints({4, 1})}},
      {.name = "none", .inputs = {random_input({3, 2}), fixed_ints({0, 2})}},
  };
}

}  // namespace

void add_expand_op(OpTable& table) {
  table.add({.name = "expand",
             .doc = "Repeats axes of extent 1 to a given shape (broadcasting).",
             .inputs = {{.name = "input"}, shape_port("shape")},
             .outputs = {{.name = "output"}},
             .infer = infer_expand,
             .timing = ShapeTiming::kFromValues,
             .run = run_expand,
             .quant = QuantRule::pass_through(),
             .axes = axes_expand,
             .spellings = {onnx("Expand", 8)},
             .samples = expand_samples});
  table.add({.name = "tile",
             .doc = "Repeats a tensor end to end along its axes.",
             .inputs = {{.name = "input"}, shape_port("repeats")},
             .outputs = {{.name = "output"}},
             .infer = infer_tile,
             .timing = ShapeTiming::kFromValues,
             .run = run_tile,
             .quant = QuantRule::pass_through(),
             .axes = axes_tile,
             .spellings = {onnx("Tile", 6)},
             .samples = tile_samples});
}

}  // namespace amct

// CenterCropPad: axes cut or padded with zeros around their middle to given extents. Of an odd difference the larger
// half is at the end.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "kernels/index/mapped.h"
#include "kernels/index/strided.h"
#include "ops/movement.h"

namespace amct {
namespace {

// The axes that the entries of `shape` stand for.
std::vector<size_t> axes_of(const Node& node, size_t rank) {
  if (node.attrs.has("axes")) return normalize_axes(attr_ints(node, "axes"), rank);
  std::vector<size_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = i;
  return axes;
}

void infer(InferContext& c) {
  const Shape& x = c.shape(0);
  const auto target = c.ints(1);
  if (!x.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const std::vector<size_t> axes = axes_of(c.node(), x.rank());
  if (target && target->size() != axes.size()) {
    c.fail(fmt::format("the shape {} does not fit {} axes", to_string(*target), axes.size()));
  }
  Shape shape = x;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (target && (*target)[i] < 0) c.fail(fmt::format("the shape {} has a negative extent", to_string(*target)));
    shape[axes[i]] = target ? Dim((*target)[i]) : Dim();
  }
  c.set_output(0, c.dtype(0), shape);
}

void run(RunContext& c) {
  const TensorView& in = c.input(0);
  const Dims& out = c.output(0).dims;
  if (c.output(0).size() == 0) return;
  const Dims strides = row_major_strides(in.dims);
  std::vector<std::vector<int64_t>> offsets(in.dims.size());
  for (size_t axis = 0; axis < in.dims.size(); ++axis) {
    const int64_t extent = in.dims[axis];
    const int64_t first = extent > out[axis] ? (extent - out[axis]) / 2 : -((out[axis] - extent) / 2);
    for (int64_t i = first; i < first + out[axis]; ++i) {
      offsets[axis].push_back(i >= 0 && i < extent ? i * strides[axis] : kFillOffset);
    }
  }
  const std::array<std::byte, 16> zero{};
  copy_mapped(element_bytes(in.dtype), std::move(offsets), in.data, zero.data(), c.output(0).data);
}

std::vector<AxisRelation> axes_rule(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const std::vector<size_t> changed = axes_of(c.node(), c.input(0).size());
  tie_same_axes(relations, c, 0, changed);
  for (const size_t axis : changed) {
    relations.push_back(lock(in_axis(0, axis), "its middle is kept"));
    relations.push_back(lock(out_axis(0, axis), "its extent is given"));
  }
  return relations;
}

std::vector<Sample> samples() {
  return {
      {.name = "crop_and_pad", .inputs = {random_input({5, 4, 3}), fixed_ints({2, 9, 3})}},
      {.name = "odd_ends", .inputs = {random_input({6, 2}, -9, 9, DType::kInt32), fixed_ints({3, 5})}},
      {.name = "axes",
       .inputs = {random_input({2, 3, 8, 5}), fixed_ints({9, 3})},
       .attrs = {{"axes", std::vector<int64_t>{-1, 2}}}},
      {.name = "bool", .inputs = {random_input({3, 4}, 0, 1, DType::kBool), fixed_ints({4, 2})}},
      {.name = "to_nothing", .inputs = {random_input({3, 4}), fixed_ints({0, 5})}},
  };
}

}  // namespace

void add_center_crop_pad_op(OpTable& table) {
  table.add({.name = "center_crop_pad",
             .doc = "Cuts or pads axes around their middle to given extents.",
             .inputs = {{.name = "input_data"}, shape_port("shape")},
             .outputs = {{.name = "output_data"}},
             .attrs = {optional_attr("axes", AttrType::kInts)},
             .infer = infer,
             .timing = ShapeTiming::kFromValues,
             .run = run,
             .quant = QuantRule::keep_float("the zeros around the middle are not in the range of its input"),
             .axes = axes_rule,
             .spellings = {onnx("CenterCropPad", 18)},
             .samples = samples});
}

}  // namespace amct

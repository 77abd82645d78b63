// Concat and Split: tensors joined and cut along one axis, by copying blocks.
#include <fmt/core.h>

#include <limits>

#include "base/checked_math.h"
#include "kernels/index/strided.h"
#include "ops/axis_view.h"
#include "ops/input_checks.h"
#include "ops/movement.h"

namespace amct {
namespace {

size_t axis_of(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank));
}

void infer_concat(InferContext& c) {
  expect_same_types(c);
  Shape shape;
  for (size_t port = 0; port < c.input_count(); ++port) {
    if (!c.shape(port).ranked()) continue;
    if (!shape.ranked()) shape = Shape::of_rank(c.shape(port).rank());
    if (c.shape(port).rank() != shape.rank()) {
      c.fail(
          fmt::format("input {} has shape {}, and others have rank {}", port, c.shape(port).to_string(), shape.rank()));
    }
  }
  if (!shape.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const size_t axis = axis_of(c.node(), shape.rank());
  std::vector<Dim> joined_dims;
  for (size_t port = 0; port < c.input_count(); ++port) {
    const Shape& input = c.shape(port);
    joined_dims.push_back(input.ranked() ? input[axis] : Dim());
    for (size_t i = 0; i < input.rank(); ++i) {
      if (i == axis || input[i].is_unknown()) continue;
      if (shape[i].is_fixed() && input[i].is_fixed() && shape[i] != input[i]) {
        c.fail(fmt::format("input {} of shape {} does not fit the others, which have {} at axis {}", port,
                           input.to_string(), shape[i].extent(), i));
      }
      if (!shape[i].is_fixed()) shape[i] = input[i];
    }
  }
  std::optional<int64_t> sum = 0;
  for (const Dim& dim : joined_dims) sum = sum && dim.is_fixed() ? checked_add(*sum, dim.extent()) : std::nullopt;
  shape[axis] = sum ? Dim(*sum) : joined_dims.size() == 1 ? joined_dims[0] : Dim();
  c.set_output(0, c.dtype(0), shape);
}

void run_concat(RunContext& c) {
  const MutableView& out = c.output(0);
  const size_t axis = c.memory_axis(axis_of(c.node(), out.dims.size()), out.dims.size());
  const AxisView view = axis_view(out.dims, axis);
  const size_t element = element_bytes(out.dtype);
  const int64_t row = out.dims[axis] * view.inner;
  auto* target = static_cast<std::byte*>(out.data);
  for (size_t port = 0; port < c.input_count(); ++port) {
    const int64_t block = c.input(port).dims[axis] * view.inner;
    copy_strided(element, {view.outer, block}, c.input(port).data, {block, 1}, target, {row, 1});
    target += static_cast<size_t>(block) * element;
  }
}

std::vector<AxisRelation> axes_concat(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& output = c.output(0);
  const size_t axis = axis_of(c.node(), output.size());
  for (size_t i = 0; i < output.size(); ++i) {
    if (i == axis) continue;
    std::vector<AxisRef> refs;
    for (size_t port = 0; port < c.input_count(); ++port) refs.push_back(in_axis(port, i));
    refs.push_back(out_axis(0, i));
    add_tie(relations, output[i], std::move(refs));
  }
  int64_t offset = 0;
  for (size_t port = 0; port < c.input_count(); ++port) {
    AxisRef part = out_axis(0, axis);
    part.offset = offset;
    const int64_t extent = c.input(port)[axis];
    if (extent > 0) relations.push_back(tie(extent, {in_axis(port, axis), part}));
    offset += extent;
  }
  return relations;
}

// Extents of the parts for an axis of `extent`. Parts of equal size, the last one smaller, unless `split` is given.
Ints parts_of(const Node& node, int64_t extent, const std::optional<Ints>& split) {
  const Where where{.node = node.name, .op = node.op};
  const auto count = static_cast<int64_t>(node.outputs.size());
  if (split) {
    int64_t sum = 0;
    for (const int64_t part : *split) {
      const auto next = part < 0 ? std::nullopt : checked_add(sum, part);
      if (!next) throw Error(ErrorCode::kInput, fmt::format("split {} is not valid", to_string(*split)), where);
      sum = *next;
    }
    if (static_cast<int64_t>(split->size()) != count || sum != extent) {
      throw Error(ErrorCode::kInput,
                  fmt::format("split {} does not cut {} elements into {} parts", to_string(*split), extent, count),
                  where);
    }
    return *split;
  }
  const bool uneven = node.attrs.has("num_outputs");
  if (uneven && attr_int(node, "num_outputs") != count) {
    throw Error(ErrorCode::kInput,
                fmt::format("num_outputs is {}, and there are {} outputs", attr_int(node, "num_outputs"), count),
                where);
  }
  const int64_t part = (extent + count - 1) / count;
  if ((!uneven && extent % count != 0) || part * (count - 1) > extent) {
    throw Error(ErrorCode::kInput, fmt::format("{} elements cannot be cut into {} parts", extent, count), where);
  }
  Ints parts(static_cast<size_t>(count), part);
  parts.back() = extent - part * (count - 1);
  return parts;
}

void infer_split(InferContext& c) {
  const Shape& input = c.shape(0);
  const auto split = c.ints(1);
  for (size_t port = 0; port < c.output_count(); ++port) c.set_output(port, c.dtype(0), Shape());
  if (!input.ranked()) return;
  const size_t axis = axis_of(c.node(), input.rank());
  std::vector<Dim> parts(c.output_count());
  if (input[axis].is_fixed() && (split || !c.has(1))) {
    const Ints extents = parts_of(c.node(), input[axis].extent(), split);
    parts.assign(extents.begin(), extents.end());
  } else if (split && split->size() == parts.size()) {
    for (size_t i = 0; i < parts.size(); ++i) {
      if ((*split)[i] >= 0) parts[i] = (*split)[i];
    }
  }
  for (size_t port = 0; port < c.output_count(); ++port) {
    Shape shape = input;
    shape[axis] = parts[port];
    c.set_output(port, c.dtype(0), std::move(shape));
  }
}

void run_split(RunContext& c) {
  const TensorView& in = c.input(0);
  const size_t rank = in.dims.size();
  const size_t axis = c.memory_axis(axis_of(c.node(), rank), rank);
  const AxisView view = axis_view(in.dims, axis);
  const Ints parts = parts_of(c.node(), in.dims[axis], c.has(1) ? std::optional(ints_of(c.input(1))) : std::nullopt);
  const size_t element = element_bytes(in.dtype);
  const int64_t row = in.dims[axis] * view.inner;
  const auto* source = static_cast<const std::byte*>(in.data);
  for (size_t port = 0; port < parts.size(); ++port) {
    const int64_t block = parts[port] * view.inner;
    if (c.wants(port)) copy_strided(element, {view.outer, block}, source, {row, 1}, c.output(port).data, {block, 1});
    source += static_cast<size_t>(block) * element;
  }
}

std::vector<AxisRelation> axes_split(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const size_t axis = axis_of(c.node(), input.size());
  for (size_t i = 0; i < input.size(); ++i) {
    if (i == axis) continue;
    std::vector<AxisRef> refs{in_axis(0, i)};
    for (size_t port = 0; port < c.output_count(); ++port) {
      if (c.node().output(port).valid()) refs.push_back(out_axis(port, i));
    }
    add_tie(relations, input[i], std::move(refs));
  }
  const Tensor* split = c.constant(1);
  if (c.has(1) && split == nullptr) {
    relations.push_back(lock(in_axis(0, axis), "the sizes of the split are computed"));
    return relations;
  }
  const Ints parts = parts_of(c.node(), input[axis], split ? std::optional(split->to_int64s()) : std::nullopt);
  int64_t offset = 0;
  for (size_t port = 0; port < parts.size(); ++port) {
    AxisRef part = in_axis(0, axis);
    part.offset = offset;
    std::vector<AxisRef> refs{part};
    if (c.node().output(port).valid()) refs.push_back(out_axis(port, axis));
    if (parts[port] > 0) relations.push_back(tie(parts[port], std::move(refs)));
    offset += parts[port];
  }
  return relations;
}

// Opset 18 wants `num_outputs` where there is no `split`; before, equal parts were said by silence.
void export_split(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  if (!c.node().input(1).valid()) attrs.set("num_outputs", static_cast<int64_t>(c.node().outputs.size()));
  c.emit(input_names(c), std::move(attrs));
}

// The sizes for a version without `num_outputs`: nullopt where equal parts need none.
std::optional<Ints> sizes_before_18(ExportContext& c) {
  if (auto given = c.constant_ints(1, 13)) return given;
  if (!c.node().attrs.has("num_outputs")) return std::nullopt;
  const Shape& shape = c.graph().value(c.node().input(0)).type.shape;
  const Dim extent = shape.ranked() ? shape[axis_of(c.node(), shape.rank())] : Dim();
  if (!extent.is_fixed()) c.unsupported("the sizes of the split are not known, and only opset 18 can leave them open");
  if (extent.extent() % static_cast<int64_t>(c.node().outputs.size()) == 0) return std::nullopt;
  return parts_of(c.node(), extent.extent(), std::nullopt);
}

void export_split_13(ExportContext& c) {
  std::vector<std::string> inputs = input_names(c);
  Attrs attrs = c.node().attrs;
  if (!c.node().input(1).valid()) {
    const auto sizes = sizes_before_18(c);
    inputs.resize(1);
    if (sizes) {
      inputs.push_back(c.helper_constant(Tensor::of<int64_t>({static_cast<int64_t>(sizes->size())}, *sizes), "split"));
    }
  }
  attrs.erase("num_outputs");
  c.emit(std::move(inputs), std::move(attrs));
}

void export_split_2(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  if (const auto sizes = sizes_before_18(c)) attrs.set("split", *sizes);
  attrs.erase("num_outputs");
  c.emit({c.value_name(c.node().input(0))}, std::move(attrs));
}

std::vector<Sample> concat_samples() {
  return {
      {.name = "channels",
       .inputs = {random_input({2, 3, 4, 5}), random_input({2, 1, 4, 5}), random_input({2, 4, 4, 5})},
       .attrs = {{"axis", int64_t{1}}}},
      {.name = "last_axis",
       .inputs = {random_input({3, 5}, -9, 9, DType::kInt32), random_input({3, 2}, -9, 9, DType::kInt32)},
       .attrs = {{"axis", int64_t{-1}}}},
      {.name = "batch", .inputs = {random_input({1, 3, 5}), random_input({4, 3, 5})}, .attrs = {{"axis", int64_t{0}}}},
      {.name = "empty_part",
       .inputs = {random_input({2, 0}, 0, 9, DType::kUInt8), random_input({2, 3}, 0, 9, DType::kUInt8)},
       .attrs = {{"axis", int64_t{1}}}},
      {.name = "one", .inputs = {random_input({2, 3}, -1, 1, DType::kFloat64)}, .attrs = {{"axis", int64_t{-2}}}},
  };
}

std::vector<Sample> split_samples() {
  return {
      {.name = "sizes",
       .inputs = {random_input({2, 7, 3, 5}), fixed_ints({1, 4, 2})},
       .attrs = {{"axis", int64_t{1}}},
       .outputs = 3},
      {.name = "uneven",
       .inputs = {random_input({7, 3}, -9, 9, DType::kInt32)},
       .attrs = {{"num_outputs", int64_t{3}}},
       .outputs = 3},
      {.name = "even",
       .inputs = {random_input({2, 3, 6})},
       .attrs = {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}},
       .outputs = 2},
  };
}

}  // namespace

void add_concat_op(OpTable& table) {
  table.add({.name = "concat",
             .doc = "Joins tensors along one axis.",
             .inputs = {{.name = "inputs", .variadic = true}},
             .outputs = {{.name = "joined"}},
             .attrs = {required_attr("axis", AttrType::kInt)},
             .infer = infer_concat,
             .run = run_concat,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::same_scale_all(),
             .axes = axes_concat,
             .spellings = {onnx("Concat", 4)},
             .samples = concat_samples});
  table.add({.name = "split",
             .doc = "Cuts a tensor into parts along one axis.",
             .inputs = {{.name = "input"}, shape_port("split", true)},
             .outputs = {{.name = "parts", .variadic = true}},
             .attrs = {int_attr("axis", 0), optional_attr("num_outputs", AttrType::kInt)},
             .infer = infer_split,
             .timing = ShapeTiming::kFromValues,
             .run = run_split,
             .layout = LayoutRule::kFollow,
             .quant = QuantRule::pass_through(),
             .axes = axes_split,
             .spellings = {onnx("Split", 18, std::numeric_limits<int64_t>::max(), nullptr, export_split),
                           onnx("Split", 13, 17, nullptr, export_split_13),
                           onnx(
                               "Split", 2, 12, [](ImportContext& c) { import_attr_as_input(c, "split", 1); },
                               export_split_2)},
             .samples = split_samples});
}

}  // namespace amct

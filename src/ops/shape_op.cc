// Shape and Size: the extents of a tensor as numbers. Their values follow from types alone, so that shape computations
// fold away wherever the extents are known.
#include <algorithm>

#include "ops/movement.h"

namespace amct {
namespace {

struct Range {
  size_t begin = 0;
  size_t end = 0;
};

// The axes that Shape reports: bounds count from the end where negative and are clamped.
Range range_of(const Node& node, size_t rank) {
  const auto signed_rank = static_cast<int64_t>(rank);
  const auto position = [&](int64_t at) {
    return static_cast<size_t>(std::clamp<int64_t>(at < 0 ? at + signed_rank : at, 0, signed_rank));
  };
  const size_t begin = position(attr_int(node, "start"));
  const size_t end = node.attrs.has("end") ? position(node.attrs.require<int64_t>("end")) : rank;
  return {begin, std::max(begin, end)};
}

void infer_shape(InferContext& c) {
  if (!c.shape(0).ranked()) return c.set_output(0, DType::kInt64, Shape::of_rank(1));
  const Range range = range_of(c.node(), c.shape(0).rank());
  c.set_output(0, DType::kInt64, Shape::of({static_cast<int64_t>(range.end - range.begin)}));
}

std::optional<Tensor> shape_value(const InferContext& c) {
  const Shape& shape = c.shape(0);
  if (!shape.ranked()) return std::nullopt;
  const Range range = range_of(c.node(), shape.rank());
  Ints extents;
  for (size_t i = range.begin; i < range.end; ++i) {
    if (!shape[i].is_fixed()) return std::nullopt;
    extents.push_back(shape[i].extent());
  }
  return Tensor::of<int64_t>({static_cast<int64_t>(extents.size())}, extents);
}

void run_shape(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const Range range = range_of(c.node(), dims.size());
  std::copy(dims.begin() + static_cast<std::ptrdiff_t>(range.begin),
            dims.begin() + static_cast<std::ptrdiff_t>(range.end), c.output(0).as<int64_t>());
}

// Axes whose extent is not reported may change freely.
std::vector<AxisRelation> axes_shape(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& input = c.input(0);
  const Range range = range_of(c.node(), input.size());
  for (size_t i = 0; i < input.size(); ++i) {
    if (i < range.begin || i >= range.end) add_tie(relations, input[i], {in_axis(0, i)});
  }
  return relations;
}

void infer_size(InferContext& c) { c.set_output(0, DType::kInt64, Shape::of({})); }

std::optional<Tensor> size_value(const InferContext& c) {
  const auto count = c.shape(0).element_count();
  return count ? std::optional(Tensor::scalar<int64_t>(*count)) : std::nullopt;
}

void run_size(RunContext& c) { *c.output(0).as<int64_t>() = c.input(0).size(); }

std::vector<Sample> shape_samples() {
  return {
      {.name = "all", .inputs = {random_input({2, 3, 5})}},
      {.name = "scalar", .inputs = {random_input({})}},
      {.name = "from", .inputs = {random_input({2, 3, 5, 7}, 0, 9, DType::kUInt8)}, .attrs = {{"start", int64_t{-2}}}},
      {.name = "range", .inputs = {random_input({2, 3, 5, 7})}, .attrs = {{"start", int64_t{1}}, {"end", int64_t{-1}}}},
      {.name = "clamped", .inputs = {random_input({2, 3})}, .attrs = {{"start", int64_t{-9}}, {"end", int64_t{1}}}},
  };
}

std::vector<Sample> size_samples() {
  return {
      {.name = "image", .inputs = {random_input({2, 3, 5, 7})}},
      {.name = "empty", .inputs = {random_input({0, 3}, -9, 9, DType::kInt32)}},
  };
}

}  // namespace

void add_shape_op(OpTable& table) {
  table.add({.name = "shape",
             .doc = "The extents of a tensor.",
             .inputs = {{.name = "data"}},
             .outputs = {{.name = "shape"}},
             .attrs = {int_attr("start", 0), optional_attr("end", AttrType::kInt)},
             .infer = infer_shape,
             .value_from_types = shape_value,
             .run = run_shape,
             .quant = QuantRule::keep_float("its result counts, and holds no values of its input"),
             .axes = axes_shape,
             .spellings = {onnx("Shape", 15), onnx("Shape", 1, 14, import_default,
                                                   [](ExportContext& c) {
                                                     if (c.node().attrs.has("end")) {
                                                       c.unsupported("attribute 'end' needs opset 15");
                                                     }
                                                     export_without(c, "start", 15);
                                                   })},
             .samples = shape_samples});
  table.add({.name = "size",
             .doc = "The number of elements of a tensor.",
             .inputs = {{.name = "data"}},
             .outputs = {{.name = "size"}},
             .infer = infer_size,
             .value_from_types = size_value,
             .run = run_size,
             .quant = QuantRule::keep_float("its result counts, and holds no values of its input"),
             .axes = axes_none,
             .spellings = {onnx("Size")},
             .samples = size_samples});
}

}  // namespace amct

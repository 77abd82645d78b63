// ScatterElements (Scatter before opset 11) and ScatterND: a copy of the data with elements or blocks at given indices
// replaced, or joined with what is there by a reduction.
#include <fmt/core.h>

#include <cstring>

#include "kernels/index/gather.h"
#include "ops/input_checks.h"
#include "ops/movement.h"

namespace amct {
namespace {

ScatterReduction reduction_of(const Node& node) {
  const std::string name = attr_string(node, "reduction");
  if (name == "none") return ScatterReduction::kNone;
  if (name == "add") return ScatterReduction::kAdd;
  if (name == "mul") return ScatterReduction::kMul;
  if (name == "max") return ScatterReduction::kMax;
  if (name == "min") return ScatterReduction::kMin;
  throw Error(ErrorCode::kInput, fmt::format("reduction '{}' is unknown", name), {.node = node.name, .op = node.op},
              "use none, add, mul, max or min");
}

size_t axis_of(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank));
}

void infer_scatter_elements(InferContext& c) {
  reduction_of(c.node());
  expect_same_type(c, 2, 0);
  const auto data = c.shape(0).fixed();
  const auto indices = c.shape(1).fixed();
  const auto updates = c.shape(2).fixed();
  if (indices && updates && *indices != *updates) {
    c.fail(fmt::format("indices of shape {} and updates of shape {} differ", to_string(*indices), to_string(*updates)));
  }
  if (data && indices) {
    const size_t axis = axis_of(c.node(), data->size());
    bool fits = data->size() == indices->size();
    for (size_t i = 0; fits && i < data->size(); ++i) fits = i == axis || (*indices)[i] <= (*data)[i];
    if (!fits) {
      c.fail(fmt::format("indices of shape {} do not fit data of shape {}", to_string(*indices), to_string(*data)));
    }
  }
  c.set_output(0, c.dtype(0), c.shape(0));
}

void run_scatter_elements(RunContext& c) {
  copy_whole(c);
  const Dims& data = c.output(0).dims;
  const size_t axis = axis_of(c.node(), data.size());
  const auto offsets = element_offsets(data, c.input(1).dims, axis, normalized_indices(c.input(1), data[axis]));
  scatter_blocks(reduction_of(c.node()), c.output(0).dtype, offsets, 1, c.input(2).data, c.output(0).data);
}

std::vector<AxisRelation> axes_scatter_elements(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& data = c.input(0);
  const size_t axis = axis_of(c.node(), data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    if (i != axis && c.input(1)[i] == data[i]) {
      add_tie(relations, data[i], {in_axis(0, i), in_axis(1, i), in_axis(2, i), out_axis(0, i)});
    } else {
      relations.push_back(lock(in_axis(0, i), "its entries are written by index"));
      relations.push_back(lock(out_axis(0, i), "its entries are written by index"));
    }
  }
  return relations;
}

void infer_scatter_nd(InferContext& c) {
  reduction_of(c.node());
  expect_same_type(c, 2, 0);
  const auto data = c.shape(0).fixed();
  const auto indices = c.shape(1).fixed();
  const auto updates = c.shape(2).fixed();
  if (data && indices && updates) {
    const std::string shapes = fmt::format("indices of shape {} and updates of shape {} do not fit data of shape {}",
                                           to_string(*indices), to_string(*updates), to_string(*data));
    if (indices->empty() || indices->back() < 1 || indices->back() > static_cast<int64_t>(data->size())) {
      c.fail(shapes);
    }
    Dims expected(indices->begin(), indices->end() - 1);
    expected.insert(expected.end(), data->begin() + indices->back(), data->end());
    if (expected != *updates) c.fail(shapes);
  }
  c.set_output(0, c.dtype(0), c.shape(0));
}

void run_scatter_nd(RunContext& c) {
  copy_whole(c);
  const Dims& data = c.output(0).dims;
  const auto offsets = block_offsets(c.input(1), data, 0);
  if (offsets.empty()) return;
  scatter_blocks(reduction_of(c.node()), c.output(0).dtype, offsets,
                 c.input(2).size() / static_cast<int64_t>(offsets.size()), c.input(2).data, c.output(0).data);
}

std::vector<AxisRelation> axes_scatter_nd(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& data = c.input(0);
  const Dims& indices = c.input(1);
  const auto depth = static_cast<size_t>(indices.back());
  for (size_t i = 0; i < data.size(); ++i) {
    if (i < depth) {
      relations.push_back(lock(in_axis(0, i), "its entries are written by index"));
      relations.push_back(lock(out_axis(0, i), "its entries are written by index"));
    } else {
      add_tie(relations, data[i], {in_axis(0, i), in_axis(2, i - depth + indices.size() - 1), out_axis(0, i)});
    }
  }
  return relations;
}

// Versions whose `reduction` knows less.
void export_scatter_16(ExportContext& c) {
  const ScatterReduction reduction = reduction_of(c.node());
  if (reduction == ScatterReduction::kMax || reduction == ScatterReduction::kMin) {
    c.unsupported("reductions 'max' and 'min' need opset 18");
  }
  c.emit(input_names(c), c.node().attrs);
}
void export_scatter_11(ExportContext& c) { export_without(c, "reduction", 16); }

std::vector<Sample> scatter_elements_samples() {
  const auto indices = [](Dims dims, const Ints& values) {
    return fixed(Tensor::of<int64_t>(std::move(dims), values));
  };
  const auto sample = [&](const char* name, const char* reduction) {
    return Sample{.name = name,
                  .inputs = {random_input({4, 3}), indices({4, 2}, {0, 2, -1, 2, 1, 0, 2, 2}), random_input({4, 2})},
                  .attrs = {{"axis", int64_t{1}}, {"reduction", std::string(reduction)}}};
  };
  return {
      {.name = "first_axis",
       .inputs = {random_input({3, 4}), indices({2, 3}, {2, 0, 1, 0, -1, 0}), random_input({2, 3})}},
      {.name = "int32",
       .inputs = {random_input({5}, -9, 9, DType::kInt32), indices({2}, {-1, 1}),
                  random_input({2}, -9, 9, DType::kInt32)},
       .attrs = {{"axis", int64_t{-1}}}},
      sample("add", "add"),
      sample("mul", "mul"),
      sample("max", "max"),
      sample("min", "min"),
  };
}

std::vector<Sample> scatter_nd_samples() {
  const auto indices = [](Dims dims, const Ints& values) {
    return fixed(Tensor::of<int64_t>(std::move(dims), values));
  };
  return {
      {.name = "blocks", .inputs = {random_input({4, 3, 2}), indices({2, 1}, {3, -4}), random_input({2, 3, 2})}},
      {.name = "elements", .inputs = {random_input({4, 3}), indices({2, 2}, {0, 2, 3, 1}), random_input({2})}},
      {.name = "add",
       .inputs = {random_input({4, 3}), indices({3, 1}, {1, 1, 0}), random_input({3, 3})},
       .attrs = {{"reduction", std::string("add")}}},
      {.name = "max",
       .inputs = {random_input({4, 3}), indices({3, 1}, {1, 1, 0}), random_input({3, 3})},
       .attrs = {{"reduction", std::string("max")}}},
  };
}

OpRow scatter_row(std::string name, std::string doc) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{.name = "data"}, {.name = "indices", .role = Role::kParameter}, {.name = "updates"}},
          .outputs = {{.name = "output"}},
          .attrs = {string_attr("reduction", "none")},
          .in_place = true,
          .quant = QuantRule::keep_float("data and updates have ranges of their own"),
          .cost = cost_free};
}

}  // namespace

void add_scatter_op(OpTable& table) {
  OpRow elements = scatter_row("scatter_elements", "Replaces an element along one axis for every index.");
  elements.attrs.push_back(int_attr("axis", 0));
  elements.infer = infer_scatter_elements;
  elements.run = run_scatter_elements;
  elements.axes = axes_scatter_elements;
  elements.spellings = {onnx("ScatterElements", 18), onnx("ScatterElements", 16, 17, import_default, export_scatter_16),
                        onnx("ScatterElements", 11, 15, import_default, export_scatter_11),
                        onnx("Scatter", 9, 10, import_default, export_scatter_11)};
  elements.samples = scatter_elements_samples;
  table.add(std::move(elements));

  OpRow nd = scatter_row("scatter_nd", "Replaces blocks at rows of leading indices.");
  nd.infer = infer_scatter_nd;
  nd.run = run_scatter_nd;
  nd.axes = axes_scatter_nd;
  nd.spellings = {onnx("ScatterND", 18), onnx("ScatterND", 16, 17, import_default, export_scatter_16),
                  onnx("ScatterND", 11, 15, import_default, export_scatter_11)};
  nd.samples = scatter_nd_samples;
  table.add(std::move(nd));
}

}  // namespace amct

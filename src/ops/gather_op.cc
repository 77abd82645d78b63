// Gather, GatherElements, GatherND: elements and blocks picked by index. Negative indices count from the end.
#include <fmt/core.h>

#include "kernels/index/gather.h"
#include "ops/axis_view.h"
#include "ops/movement.h"

namespace amct {
namespace {

constexpr const char* kPicked = "its entries are picked by index";

size_t axis_of(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank));
}

void infer_gather(InferContext& c) {
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  if (!data.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const size_t axis = axis_of(c.node(), data.rank());
  if (!indices.ranked()) return c.set_output(0, c.dtype(0), Shape());
  std::vector<Dim> dims(data.dims().begin(), data.dims().begin() + static_cast<std::ptrdiff_t>(axis));
  dims.insert(dims.end(), indices.dims().begin(), indices.dims().end());
  dims.insert(dims.end(), data.dims().begin() + static_cast<std::ptrdiff_t>(axis) + 1, data.dims().end());
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

void run_gather(RunContext& c) {
  const Dims& dims = c.input(0).dims;
  const size_t axis = axis_of(c.node(), dims.size());
  const AxisView view = axis_view(dims, axis);
  gather_blocks(element_bytes(c.input(0).dtype), view.outer, view.extent, view.inner,
                normalized_indices(c.input(1), dims[axis]), c.input(0).data, c.output(0).data);
}

std::vector<AxisRelation> axes_gather(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& data = c.input(0);
  const Dims& indices = c.input(1);
  const size_t axis = axis_of(c.node(), data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    if (i == axis) {
      relations.push_back(lock(in_axis(0, i), kPicked));
    } else {
      add_tie(relations, data[i], {in_axis(0, i), out_axis(0, i < axis ? i : i + indices.size() - 1)});
    }
  }
  for (size_t i = 0; i < indices.size(); ++i) add_tie(relations, indices[i], {in_axis(1, i), out_axis(0, axis + i)});
  return relations;
}

void infer_gather_elements(InferContext& c) {
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  if (data.ranked() && indices.ranked()) {
    if (data.rank() != indices.rank()) {
      c.fail(fmt::format("indices of shape {} do not fit data of shape {}", indices.to_string(), data.to_string()));
    }
    const size_t axis = axis_of(c.node(), data.rank());
    for (size_t i = 0; i < data.rank(); ++i) {
      if (i != axis && data[i].is_fixed() && indices[i].is_fixed() && indices[i].extent() > data[i].extent()) {
        c.fail(fmt::format("indices of shape {} exceed data of shape {} at axis {}", indices.to_string(),
                           data.to_string(), i));
      }
    }
  }
  c.set_output(0, c.dtype(0), indices);
}

void run_gather_elements(RunContext& c) {
  const Dims& data = c.input(0).dims;
  const size_t axis = axis_of(c.node(), data.size());
  gather_elements(element_bytes(c.input(0).dtype), data, c.input(1).dims, axis,
                  normalized_indices(c.input(1), data[axis]), c.input(0).data, c.output(0).data);
}

std::vector<AxisRelation> axes_gather_elements(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& data = c.input(0);
  const Dims& indices = c.input(1);
  const size_t axis = axis_of(c.node(), data.size());
  for (size_t i = 0; i < data.size(); ++i) {
    if (i == axis) {
      relations.push_back(lock(in_axis(0, i), kPicked));
      add_tie(relations, indices[i], {in_axis(1, i), out_axis(0, i)});
    } else if (data[i] == indices[i]) {
      add_tie(relations, data[i], {in_axis(0, i), in_axis(1, i), out_axis(0, i)});
    } else {
      relations.push_back(lock(in_axis(0, i), "only its first entries are read"));
      relations.push_back(lock(out_axis(0, i), "only the first entries of its source are read"));
    }
  }
  return relations;
}

size_t batch_dims_of(const Node& node) {
  const int64_t batch_dims = attr_int(node, "batch_dims");
  if (batch_dims < 0 || batch_dims > 64) {
    throw Error(ErrorCode::kInput, fmt::format("batch_dims {} is out of range", batch_dims),
                {.node = node.name, .op = node.op});
  }
  return static_cast<size_t>(batch_dims);
}

void infer_gather_nd(InferContext& c) {
  const Shape& data = c.shape(0);
  const Shape& indices = c.shape(1);
  const size_t batch = batch_dims_of(c.node());
  if (!data.ranked() || !indices.ranked()) return c.set_output(0, c.dtype(0), Shape());
  if (indices.rank() < 1 || batch >= indices.rank() || batch > data.rank()) {
    c.fail(fmt::format("indices of shape {} with batch_dims {} do not fit data of shape {}", indices.to_string(), batch,
                       data.to_string()));
  }
  for (size_t i = 0; i < batch; ++i) {
    if (data[i].is_fixed() && indices[i].is_fixed() && data[i] != indices[i]) {
      c.fail(fmt::format("batch axis {} differs between data {} and indices {}", i, data.to_string(),
                         indices.to_string()));
    }
  }
  const Dim& depth = indices[indices.rank() - 1];
  if (!depth.is_fixed()) return c.set_output(0, c.dtype(0), Shape());
  const auto first = static_cast<int64_t>(batch);
  if (depth.extent() < 1 || first + depth.extent() > static_cast<int64_t>(data.rank())) {
    c.fail(fmt::format("indices of shape {} name {} axes of data of shape {}", indices.to_string(), depth.extent(),
                       data.to_string()));
  }
  std::vector<Dim> dims(indices.dims().begin(), indices.dims().end() - 1);
  dims.insert(dims.end(), data.dims().begin() + first + depth.extent(), data.dims().end());
  c.set_output(0, c.dtype(0), Shape(std::move(dims)));
}

void run_gather_nd(RunContext& c) {
  const TensorView& data = c.input(0);
  const std::vector<int64_t> offsets = block_offsets(c.input(1), data.dims, batch_dims_of(c.node()));
  const int64_t block = offsets.empty() ? 1 : c.output(0).size() / static_cast<int64_t>(offsets.size());
  // Blocks lie at any element: gathered as single elements of their own size where they are one element long.
  const size_t element = element_bytes(data.dtype);
  const auto* in = static_cast<const std::byte*>(data.data);
  auto* out = static_cast<std::byte*>(c.output(0).data);
  if (block == 1) return gather_blocks(element, 1, data.size(), 1, offsets, in, out);
  for (const int64_t offset : offsets) {
    gather_blocks(element, 1, 1, block, {0}, in + static_cast<size_t>(offset) * element, out);
    out += static_cast<size_t>(block) * element;
  }
}

std::vector<AxisRelation> axes_gather_nd(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const Dims& data = c.input(0);
  const Dims& indices = c.input(1);
  const size_t batch = batch_dims_of(c.node());
  const size_t depth = static_cast<size_t>(indices.back());
  for (size_t i = 0; i + 1 < indices.size(); ++i) {
    std::vector<AxisRef> refs{in_axis(1, i), out_axis(0, i)};
    if (i < batch) refs.push_back(in_axis(0, i));
    add_tie(relations, indices[i], std::move(refs));
  }
  for (size_t i = batch; i < data.size(); ++i) {
    if (i < batch + depth) {
      relations.push_back(lock(in_axis(0, i), kPicked));
    } else {
      add_tie(relations, data[i], {in_axis(0, i), out_axis(0, i - batch - depth + indices.size() - 1)});
    }
  }
  return relations;
}

Tensor indices_of(Dims dims, const Ints& values) { return Tensor::of<int64_t>(std::move(dims), values); }

std::vector<Sample> gather_samples() {
  return {
      {.name = "rows", .inputs = {random_input({5, 3}), fixed(indices_of({2, 2}, {0, -1, 3, 3}))}},
      {.name = "channels",
       .inputs = {random_input({2, 6, 3, 5}), fixed_ints({4, 0, 2})},
       .attrs = {{"axis", int64_t{1}}}},
      {.name = "scalar_index",
       .inputs = {random_input({3, 4, 2}, -9, 9, DType::kInt32), fixed(Tensor::scalar<int64_t>(-2))},
       .attrs = {{"axis", int64_t{-1}}}},
      {.name = "int32_index", .inputs = {random_input({7}), fixed(Tensor::of<int32_t>({2}, {6, 1}))}},
  };
}

std::vector<Sample> gather_elements_samples() {
  return {
      {.name = "last_axis",
       .inputs = {random_input({2, 4}), fixed(indices_of({2, 3}, {0, -1, 2, 3, 3, 0}))},
       .attrs = {{"axis", int64_t{1}}}},
      {.name = "first_axis",
       .inputs = {random_input({3, 2}, -9, 9, DType::kInt32), fixed(indices_of({2, 2}, {2, 0, 1, -3}))}},
      {.name = "smaller",
       .inputs = {random_input({2, 3, 4}), fixed(indices_of({1, 3, 2}, {2, 1, 0, 2, 1, 1}))},
       .attrs = {{"axis", int64_t{-2}}}},
  };
}

std::vector<Sample> gather_nd_samples() {
  return {
      {.name = "blocks", .inputs = {random_input({3, 4, 5}), fixed(indices_of({2, 1}, {2, -3}))}},
      {.name = "elements", .inputs = {random_input({3, 4}), fixed(indices_of({2, 2, 2}, {0, 0, 2, 3, 1, -1, 0, 2}))}},
      {.name = "batch",
       .inputs = {random_input({2, 3, 4}, 0, 9, DType::kUInt8), fixed(indices_of({2, 2, 1}, {1, 0, 2, 2}))},
       .attrs = {{"batch_dims", int64_t{1}}}},
  };
}

OpRow gather_row(std::string name, std::string doc) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{.name = "data"}, {.name = "indices", .role = Role::kParameter}},
          .outputs = {{.name = "output"}},
          .quant = QuantRule::pass_through(),
          .cost = cost_free};
}

}  // namespace

void add_gather_op(OpTable& table) {
  OpRow gather = gather_row("gather", "Picks entries of one axis by index.");
  gather.attrs = {int_attr("axis", 0)};
  gather.infer = infer_gather;
  gather.run = run_gather;
  gather.axes = axes_gather;
  gather.spellings = {onnx("Gather")};
  gather.samples = gather_samples;
  table.add(std::move(gather));

  OpRow elements = gather_row("gather_elements", "Picks an element along one axis for every position.");
  elements.attrs = {int_attr("axis", 0)};
  elements.infer = infer_gather_elements;
  elements.run = run_gather_elements;
  elements.axes = axes_gather_elements;
  elements.spellings = {onnx("GatherElements", 11)};
  elements.samples = gather_elements_samples;
  table.add(std::move(elements));

  OpRow nd = gather_row("gather_nd", "Picks blocks by rows of leading indices.");
  nd.attrs = {int_attr("batch_dims", 0)};
  nd.infer = infer_gather_nd;
  nd.run = run_gather_nd;
  nd.axes = axes_gather_nd;
  nd.spellings = {onnx("GatherND", 12), onnx("GatherND", 11, 11, import_default,
                                             [](ExportContext& c) { export_without(c, "batch_dims", 12); })};
  nd.samples = gather_nd_samples;
  table.add(std::move(nd));
}

}  // namespace amct

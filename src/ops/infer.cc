#include "ops/infer.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/op_row.h"

namespace amct {
namespace {

// Values up to this size are followed through shape computations.
constexpr int64_t kMaxFollowedElements = 4096;

bool is_more_specific(const Shape& a, const Shape& b) {
  if (!b.ranked()) return a.ranked();
  if (!a.ranked() || a.rank() != b.rank()) return false;
  for (size_t i = 0; i < a.rank(); ++i) {
    if (!b[i].is_fixed() && a[i].is_fixed()) return true;
  }
  return false;
}

// The declared type where the rule could say less than the file does.
TensorType merge(TensorType inferred, const TensorType& declared) {
  if (inferred.dtype == DType::kUndefined) inferred.dtype = declared.dtype;
  if (!inferred.shape.ranked()) {
    inferred.shape = declared.shape;
  } else if (is_more_specific(declared.shape, inferred.shape)) {
    for (size_t i = 0; i < inferred.shape.rank(); ++i) {
      if (!inferred.shape[i].is_fixed()) inferred.shape[i] = declared.shape[i];
    }
  }
  return inferred;
}

// True if a tensor with the known extents of the shape could be in memory: none is negative, and those that are not
// zero multiply to at most 2^48.
bool could_be_in_memory(const Shape& shape) {
  constexpr int64_t kMostElements = int64_t{1} << 48;
  int64_t product = 1;
  for (const Dim& dim : shape.dims()) {
    if (!dim.is_fixed() || dim.extent() == 0) continue;
    if (dim.extent() < 0 || dim.extent() > kMostElements / product) return false;
    product *= dim.extent();
  }
  return true;
}

// What is computed from shapes afterwards (bytes, rows, extents with pads) relies on this: it cannot overflow.
void check_extents(const Shape& shape, const std::string& value) {
  if (could_be_in_memory(shape)) return;
  throw Error(ErrorCode::kInput,
              fmt::format("value '{}' would have shape {}, which no memory holds", value, shape.to_string()));
}

void keep_declared(const Graph& graph, const Node& node, InferredTypes& result) {
  for (const ValueId output : node.outputs) {
    if (!output.valid()) continue;
    const Value& value = graph.value(output);
    check_extents(value.type.shape, value.name);
    result.types[output.index] = value.type;
  }
}

// Output values of a node all of whose inputs are known, if they are small; else nothing.
std::vector<Tensor> follow(const InferContext& c) {
  const OpRow& row = *c.node().row;
  if (row.timing == ShapeTiming::kFromBody) return c.output_values();
  if (row.value_from_types != nullptr) {
    if (auto value = row.value_from_types(c)) return {std::move(*value)};
    return {};
  }
  if (!row.deterministic || row.run == nullptr || row.timing == ShapeTiming::kFromData) return {};
  for (size_t port = 0; port < c.input_count(); ++port) {
    if (c.has(port) && c.value(port) == nullptr) return {};
  }
  for (const TensorType& type : c.outputs()) {
    const auto count = type.shape.element_count();
    if (!count || *count > kMaxFollowedElements || type.dtype == DType::kUndefined) return {};
  }
  std::vector<Tensor> inputs;
  for (size_t port = 0; port < c.input_count(); ++port) inputs.push_back(c.has(port) ? *c.value(port) : Tensor());
  return run_node(c.node(), inputs);
}

}  // namespace

const InferContext::Input InferContext::kNoInput;

std::optional<std::vector<int64_t>> InferContext::ints(size_t port) const {
  const Tensor* tensor = value(port);
  return tensor != nullptr && *tensor ? std::optional(tensor->to_int64s()) : std::nullopt;
}

void InferContext::fail(std::string message, std::string hint) const {
  throw Error(ErrorCode::kInput, std::move(message), {.node = node_.name, .op = node_.op}, std::move(hint));
}

void infer_same_as_first(InferContext& c) { c.set_output(0, c.dtype(0), c.shape(0)); }

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  if (!a.ranked() || !b.ranked()) return Shape();
  const size_t rank = std::max(a.rank(), b.rank());
  Shape result = Shape::of_rank(rank);
  for (size_t i = 0; i < rank; ++i) {
    const Dim da = i + a.rank() >= rank ? a[i + a.rank() - rank] : Dim(1);
    const Dim db = i + b.rank() >= rank ? b[i + b.rank() - rank] : Dim(1);
    if (da == db && !da.is_unknown()) {
      result[i] = da;
    } else if (da.is_fixed() && da.extent() == 1) {
      result[i] = db;
    } else if (db.is_fixed() && db.extent() == 1) {
      result[i] = da;
    } else if (da.is_fixed() && db.is_fixed()) {
      return std::nullopt;
    } else if (da.is_fixed() || db.is_fixed()) {
      result[i] = da.is_fixed() ? da : db;  // the other is 1 or the same
    }
  }
  return result;
}

void infer_broadcast(InferContext& c) {
  Shape shape = c.shape(0);
  for (size_t port = 1; port < c.input_count(); ++port) {
    if (!c.has(port)) continue;
    const auto joined = broadcast(shape, c.shape(port));
    if (!joined) {
      c.fail(fmt::format("shapes {} and {} do not broadcast", shape.to_string(), c.shape(port).to_string()));
    }
    shape = *joined;
  }
  c.set_output(0, c.dtype(0), shape);
}

InferredTypes infer_types(const Graph& graph, const std::unordered_map<ValueId, TensorType>& inputs,
                          const std::unordered_map<ValueId, Tensor>& known) {
  InferredTypes result{std::vector<TensorType>(graph.value_slots()), std::vector<Tensor>(graph.value_slots()),
                       std::vector<bool>(graph.value_slots())};
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (value.kind == ValueKind::kComputed) continue;
    const auto given = inputs.find(id);
    result.types[id.index] = given != inputs.end() ? given->second : value.type;
    if (value.is_constant()) result.values[id.index] = value.data;
    check_extents(result.types[id.index].shape, value.name);
  }
  for (const auto& [id, tensor] : known) {
    result.values[id.index] = tensor;
    result.types[id.index] = tensor.type();
  }
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.is_opaque()) {
      keep_declared(graph, node, result);
      continue;
    }
    std::vector<InferContext::Input> types(node.inputs.size());
    for (size_t port = 0; port < types.size(); ++port) {
      const ValueId input = node.inputs[port];
      if (!input.valid()) continue;
      const Tensor& value = result.values[input.index];
      types[port] = {true, result.types[input.index], value ? &value : nullptr};
    }
    InferContext context(node, std::move(types));
    try {
      node.row->infer(context);
      for (size_t port = 0; port < node.outputs.size(); ++port) {
        const ValueId output = node.outputs[port];
        if (!output.valid()) continue;
        const TensorType& inferred = context.outputs()[port];
        result.hinted[output.index] = node.row->timing == ShapeTiming::kFromBody && !inferred.shape.is_fixed();
        result.types[output.index] = merge(inferred, graph.value(output).type);
        check_extents(result.types[output.index].shape, graph.value(output).name);
      }
      std::vector<Tensor> followed = follow(context);
      for (size_t port = 0; port < followed.size() && port < node.outputs.size(); ++port) {
        const ValueId output = node.outputs[port];
        if (output.valid()) result.values[output.index] = std::move(followed[port]);
      }
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = node.name, .op = node.op});
    }
  }
  return result;
}

void update_types(Graph& graph) {
  InferredTypes inferred = infer_types(graph);
  for (const ValueId id : graph.values()) {
    if (graph.value(id).kind == ValueKind::kComputed) graph.value(id).type = std::move(inferred.types[id.index]);
  }
}

}  // namespace amct

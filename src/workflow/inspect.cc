#include "workflow/inspect.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "ops/op_row.h"
#include "ops/subgraph.h"
#include "passes/quantize/program_ends.h"

namespace amct {
namespace {

// True for the first axis, and for one of the name that the first axis of an input has (time goes first in recurrent
// layers).
bool is_batch(const Graph& graph, const Shape& shape, size_t axis) {
  if (axis == 0) return true;
  return shape[axis].is_named() && std::any_of(graph.inputs().begin(), graph.inputs().end(), [&](ValueId input) {
           const Shape& of_input = graph.value(input).type.shape;
           return of_input.rank() > 0 && of_input[0] == shape[axis];
         });
}

// One sample: an unknown batch counts as 1; nullopt if anything else is unknown.
std::optional<Dims> one_sample(const Graph& graph, const TensorType& type) {
  if (!type.shape.ranked()) return std::nullopt;
  Dims dims;
  for (size_t axis = 0; axis < type.shape.rank(); ++axis) {
    if (!type.shape[axis].is_fixed() && !is_batch(graph, type.shape, axis)) return std::nullopt;
    dims.push_back(type.shape[axis].is_fixed() ? type.shape[axis].extent() : 1);
  }
  return dims;
}

int64_t macs_of(const Graph& graph, const Node& node) {
  if (node.is_opaque()) return 0;
  std::vector<Dims> inputs;
  std::vector<Dims> outputs;
  for (const ValueId id : node.inputs) {
    const auto dims = id.valid() ? one_sample(graph, graph.value(id).type) : Dims{};
    if (!dims) return 0;
    inputs.push_back(*dims);
  }
  for (const ValueId id : node.outputs) {
    const auto dims = id.valid() ? one_sample(graph, graph.value(id).type) : Dims{};
    if (!dims) return 0;
    outputs.push_back(*dims);
  }
  return node.row->cost(CostContext(graph, node, std::move(inputs), std::move(outputs))).macs;
}

int64_t parameters_of(const Graph& graph, const Node& node) {
  int64_t count = 0;
  for (size_t port = 0; port < node.inputs.size(); ++port) {
    const Tensor* constant = graph.constant(node.inputs[port]);
    if (constant == nullptr) continue;
    const InputPort* input = node.is_opaque() ? nullptr : node.row->input_port(port);
    if (input == nullptr || input->role != Role::kShape) count += constant->size();
  }
  return count;
}

// Floats, and the integers of layers that are quantized already; not shapes and indices.
bool is_parameter(const Graph& graph, const Value& value) {
  if (is_floating(value.data.dtype())) return true;
  return std::any_of(value.uses.begin(), value.uses.end(), [&](const Use& use) {
    const Node& node = graph.node(use.node);
    const InputPort* port = node.is_opaque() ? nullptr : node.row->input_port(use.port);
    return port != nullptr && (port->role == Role::kWeight || port->role == Role::kBias);
  });
}

// Why the node is no layer that can be quantized; empty if it is one.
std::string why_not_quantizable(const Graph& graph, const Node& node) {
  if (node.is_opaque()) {
    return node.attrs.get<std::string>("onnx.reason", "the operator is not known: it is kept as it is");
  }
  const QuantRule& rule = node.row->quant;
  switch (rule.kind()) {
    case QuantRule::Kind::kCompute: {
      if (is_integer(graph.value(node.inputs[0]).type.dtype)) return "computes in integers already";
      const QuantCheck check = rule.compute_rule().check;
      return check != nullptr ? check(graph, node) : std::string();
    }
    case QuantRule::Kind::kPassThrough: return "passes values on, in whatever form they come";
    case QuantRule::Kind::kSameScaleAll: return "joins values, in whatever form they come";
    case QuantRule::Kind::kFixedRange: return "not a layer that multiplies with weights";
    case QuantRule::Kind::kKeepFloat: return rule.reason();
  }
  return {};
}

// The graph's nodes, then those of graphs within them, under "node/attribute/".
void add_layers(const Graph& graph, const std::string& path, const std::string& around, ModelFacts& facts) {
  const ProgramEnds ends(graph);
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    LayerFacts layer{.name = path + node.name, .op = node.op};
    layer.foreign_type = node.origin.op.empty() ? node.op : node.origin.op;
    if (node.output().valid()) {
      const TensorType& type = graph.value(node.output()).type;
      layer.output = fmt::format("{} {}", name_of(type.dtype), type.shape.to_string());
    }
    layer.parameters = parameters_of(graph, node);
    layer.macs = macs_of(graph, node);
    layer.reason = why_not_quantizable(graph, node);
    if (layer.reason.empty()) layer.reason = ends.reason(node);
    if (layer.reason.empty() && !around.empty()) layer.reason = fmt::format("it stands in a subgraph of '{}'", around);
    layer.quantizable = layer.reason.empty();
    if (node.is_opaque()) facts.opaque[layer.foreign_type] = layer.reason;
    facts.macs += layer.macs;
    ++facts.operators[layer.foreign_type];
    facts.layers.push_back(std::move(layer));
    for (const Subgraph& inner : subgraphs(node)) {
      add_layers(*inner.graph, fmt::format("{}{}/{}/", path, node.name, inner.attr), node.name, facts);
    }
  }
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (value.is_constant() && is_parameter(graph, value)) facts.parameters += value.data.size();
  }
}

}  // namespace

ModelFacts inspect(const Graph& graph) {
  ModelFacts facts;
  facts.path = graph.info.path;
  facts.format = graph.info.format;
  const auto opset = graph.info.opsets.find("");
  facts.opset = opset == graph.info.opsets.end() ? 0 : opset->second;
  std::error_code error;
  const auto bytes = std::filesystem::file_size(facts.path, error);
  facts.file_bytes = error ? 0 : bytes;
  for (const ValueId id : graph.inputs()) facts.inputs.emplace_back(graph.value(id).name, graph.value(id).type);
  for (const ValueId id : graph.outputs()) facts.outputs.emplace_back(graph.value(id).name, graph.value(id).type);

  add_layers(graph, {}, {}, facts);
  return facts;
}

std::string human_count(int64_t count) {
  if (count < 1000) return fmt::format("{}", count);
  const char* const units[] = {"k", "M", "G", "T"};
  double value = static_cast<double>(count);
  size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit < 3; ++unit) value /= 1000;
  return value < 9.95 ? fmt::format("{:.1f} {}", value, units[unit]) : fmt::format("{:.0f} {}", value, units[unit]);
}

std::string human_bytes(uint64_t bytes) {
  return bytes < 1000 ? fmt::format("{} B", bytes) : human_count(static_cast<int64_t>(bytes)) + "B";
}

}  // namespace amct

#include "passes/simplify/eliminate_common_subexpressions.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <unordered_map>

#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// Weights and biases stay with their layer even where two layers hold the same numbers.
bool belongs_to_layer(const Graph& graph, ValueId id) {
  const std::vector<Use>& uses = graph.value(id).uses;
  return std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    const Node& node = graph.node(use.node);
    const InputPort* port = node.is_opaque() ? nullptr : node.row->input_port(use.port);
    return port == nullptr || port->role == Role::kWeight || port->role == Role::kBias;
  });
}

// Type, extents and the first and last bytes: equal constants have equal keys.
std::string key_of(const Tensor& tensor) {
  constexpr size_t kEdge = 64;
  const auto bytes = tensor.bytes();
  const auto* begin = reinterpret_cast<const char*>(bytes.data());
  std::string key = fmt::format("{} {}|", static_cast<int>(tensor.dtype()), to_string(tensor.dims()));
  key.append(begin, std::min(bytes.size(), kEdge));
  if (bytes.size() > kEdge)
    key.append(begin + bytes.size() - std::min(bytes.size() - kEdge, kEdge), begin + bytes.size());
  return key;
}

// Operator, inputs, connected outputs and names of attributes: equal nodes have equal keys.
std::string key_of(const Node& node) {
  std::string key = node.op;
  for (const ValueId input : node.inputs) key += fmt::format(" {}", input.valid() ? int64_t{input.index} : -1);
  key += '|';
  for (const ValueId output : node.outputs) key += output.valid() ? 'y' : 'n';
  for (const auto& [name, value] : node.attrs.items()) {
    key += '|';
    key += name;
    if (const auto* number = std::get_if<int64_t>(&value)) key += fmt::format("{}", *number);
    if (const auto* numbers = std::get_if<std::vector<int64_t>>(&value)) key += to_string(*numbers);
  }
  return key;
}

void join_constants(Graph& graph, PassReport& report) {
  std::unordered_map<std::string, std::vector<ValueId>> seen;
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (!value.is_constant() || value.uses.empty() || graph.is_output(id) || belongs_to_layer(graph, id)) continue;
    if (value.data.dtype() == DType::kString) continue;
    std::vector<ValueId>& candidates = seen[key_of(value.data)];
    const auto same = std::find_if(candidates.begin(), candidates.end(),
                                   [&](ValueId other) { return graph.value(other).data.same_bytes(value.data); });
    if (same == candidates.end()) {
      candidates.push_back(id);
      continue;
    }
    graph.replace_uses(id, *same);
    graph.erase_value(id);
    ++report.changes;
  }
}

bool same_node(const Node& a, const Node& b) {
  const auto connected = [](ValueId x, ValueId y) { return x.valid() == y.valid(); };
  return a.row == b.row && a.inputs == b.inputs && same_attrs(a.attrs, b.attrs) &&
         std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(), connected);
}

bool may_join(const Graph& graph, const Node& node, const Node& kept) {
  for (size_t port = 0; port < node.outputs.size(); ++port) {
    if (node.outputs[port].valid() && !may_replace(graph, node.outputs[port], kept.outputs[port])) return false;
  }
  return true;
}

}  // namespace

PassReport eliminate_common_subexpressions(Graph& graph, const PassContext&) {
  PassReport report;
  join_constants(graph, report);
  std::unordered_map<std::string, std::vector<NodeId>> seen;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.is_opaque() || !node.row->deterministic) continue;
    std::vector<NodeId>& candidates = seen[key_of(node)];
    const auto same = std::find_if(candidates.begin(), candidates.end(),
                                   [&](NodeId other) { return same_node(graph.node(other), node); });
    if (same == candidates.end()) {
      candidates.push_back(id);
      continue;
    }
    const Node& kept = graph.node(*same);
    if (!may_join(graph, node, kept)) {
      report.left_alone(node.name, fmt::format("equals '{}', but both are graph outputs", kept.name));
      continue;
    }
    const std::string name = node.name;
    const std::vector<ValueId> outputs = node.outputs;
    for (size_t port = 0; port < outputs.size(); ++port) {
      if (outputs[port].valid()) graph.replace_uses(outputs[port], kept.outputs[port]);
    }
    graph.erase_node(id);
    report.applied(name, fmt::format("removed: '{}' computes the same", kept.name));
  }
  return report;
}

}  // namespace amct

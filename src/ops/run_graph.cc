#include "ops/run_graph.h"

#include <algorithm>

#include "base/error.h"
#include "ops/run.h"

namespace amct {
namespace {

// Nodes that the values marked in `needed` need, in order. Marks what they read, too.
std::vector<NodeId> needed_nodes(const Graph& graph, std::vector<bool> needed) {
  const std::vector<NodeId> order = graph.topological_order();
  std::vector<NodeId> result;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const Node& node = graph.node(*at);
    const bool run = std::any_of(node.outputs.begin(), node.outputs.end(),
                                 [&](ValueId id) { return id.valid() && needed[id.index]; });
    if (!run) continue;
    result.push_back(*at);
    for (const ValueId input : node.inputs) {
      if (input.valid()) needed[input.index] = true;
    }
  }
  std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace

std::vector<Tensor> initial_values(const Graph& graph, const std::vector<Tensor>& inputs) {
  AMCT_CHECK(inputs.size() == graph.inputs().size(), "as many tensors as the graph has inputs");
  std::vector<Tensor> values(graph.value_slots());
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (value.kind == ValueKind::kConstant || value.kind == ValueKind::kVariable) values[id.index] = value.data;
  }
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i].index] = inputs[i];
  return values;
}

void run_nodes(const Graph& graph, std::span<const NodeId> nodes, std::vector<Tensor>& values, const RunHooks& hooks,
               std::vector<size_t>* uses) {
  for (const NodeId id : nodes) {
    const Node& node = graph.node(id);
    try {
      const std::vector<Tensor> inputs = tensors_of_inputs(node, [&](ValueId input) { return values[input.index]; });
      std::vector<Tensor> results = hooks.run ? hooks.run(id, inputs) : run_node(node, inputs);
      for (size_t port = 0; port < results.size(); ++port) {
        if (node.outputs[port].valid()) values[node.outputs[port].index] = std::move(results[port]);
      }
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = node.name, .op = node.op});
    }
    for (const ValueId output : node.outputs) {
      if (!output.valid()) continue;
      if (hooks.computed) hooks.computed(output, values[output.index]);
      if (uses != nullptr && (*uses)[output.index] == 0) values[output.index] = Tensor();
    }
    for (const ValueId input : node.inputs) {
      if (uses != nullptr && input.valid() && --(*uses)[input.index] == 0) values[input.index] = Tensor();
    }
  }
}

std::vector<Tensor> run_graph(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<ValueId>& wanted,
                              const std::vector<ValueId>& observed, const RunHooks& hooks) {
  std::vector<Tensor> values = initial_values(graph, inputs);
  std::vector<bool> needed(graph.value_slots(), false);
  for (const std::vector<ValueId>* ids : {&wanted, &observed}) {
    for (const ValueId id : *ids) needed[id.index] = true;
  }
  const std::vector<NodeId> nodes = needed_nodes(graph, std::move(needed));
  std::vector<size_t> uses(graph.value_slots(), 0);
  for (const ValueId id : wanted) ++uses[id.index];
  for (const NodeId id : nodes) {
    for (const ValueId input : graph.node(id).inputs) {
      if (input.valid()) ++uses[input.index];
    }
  }
  run_nodes(graph, nodes, values, hooks, &uses);
  std::vector<Tensor> results;
  for (const ValueId id : wanted) results.push_back(values[id.index]);
  return results;
}

}  // namespace amct

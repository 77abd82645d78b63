#include "exec/interpret.h"

#include <fmt/format.h>

#include <algorithm>

#include "exec/describe.h"
#include "exec/profile.h"
#include "ops/op_row.h"

namespace amct {
namespace {

// Nodes that the wanted values need, in order.
std::vector<NodeId> needed_nodes(const Graph& graph, const std::vector<ValueId>& wanted) {
  std::vector<bool> needed(graph.value_slots(), false);
  for (const ValueId id : wanted) needed[id.index] = true;
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

std::vector<Tensor> interpret(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<ValueId>& wanted,
                              const std::vector<ValueId>& observed, const ObserveFn& observe, Profile* profile,
                              GraphRunner* graphs) {
  std::vector<Tensor> values(graph.value_slots());
  for (size_t i = 0; i < graph.inputs().size(); ++i) values[graph.inputs()[i].index] = inputs[i];
  for (const ValueId id : graph.values()) {
    if (graph.value(id).kind == ValueKind::kConstant || graph.value(id).kind == ValueKind::kVariable) {
      values[id.index] = graph.value(id).data;
    }
  }
  std::vector<ValueId> all = wanted;
  all.insert(all.end(), observed.begin(), observed.end());
  const std::vector<NodeId> order = needed_nodes(graph, all);

  std::vector<uint32_t> remaining(graph.value_slots(), 0);
  for (const ValueId id : wanted) ++remaining[id.index];
  for (const NodeId id : order) {
    for (const ValueId input : graph.node(id).inputs) {
      if (input.valid()) ++remaining[input.index];
    }
  }
  std::vector<bool> is_observed(graph.value_slots(), false);
  for (const ValueId id : observed) is_observed[id.index] = true;
  const auto report = [&](ValueId id) {
    if (observe && is_observed[id.index]) observe(id, values[id.index].view());
  };
  for (const ValueId id : graph.inputs()) report(id);

  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    std::vector<Tensor> arguments;
    for (const ValueId input : node.inputs) arguments.push_back(input.valid() ? values[input.index] : Tensor());
    try {
      const auto begin = Profile::Clock::now();
      std::vector<Tensor> results = run_node(node, arguments, graphs);
      if (profile != nullptr) {
        const size_t step = profile->step_of(node, [&] { return describe_run(graph, node, arguments, results); });
        profile->add(step, begin, Profile::Clock::now());
      }
      for (size_t port = 0; port < results.size(); ++port) {
        if (node.outputs[port].valid()) values[node.outputs[port].index] = std::move(results[port]);
      }
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = node.name, .op = node.op});
    }
    for (const ValueId output : node.outputs) {
      if (output.valid()) report(output);
    }
    arguments.clear();
    for (const ValueId input : node.inputs) {
      if (input.valid() && --remaining[input.index] == 0) values[input.index] = Tensor();
    }
  }
  std::vector<Tensor> result;
  for (const ValueId id : wanted) result.push_back(values[id.index]);
  return result;
}

}  // namespace amct

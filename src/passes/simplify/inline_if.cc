#include "passes/simplify/inline_if.h"

#include <fmt/core.h>

#include "ops/op_row.h"
#include "ops/subgraph.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// Copies values and nodes of `inner` into `graph`; `inputs` stand for its inputs. Returns what stands for its outputs.
std::vector<ValueId> splice(Graph& graph, const Graph& inner, const std::vector<ValueId>& inputs) {
  std::vector<ValueId> here(inner.value_slots(), kNoValue);
  for (size_t i = 0; i < inputs.size(); ++i) here[inner.inputs()[i].index] = inputs[i];
  for (const ValueId id : inner.values()) {
    const Value& value = inner.value(id);
    if (!value.is_constant()) continue;
    const ValueId copy = graph.add_constant(value.name, value.data);
    graph.value(copy).origin = value.origin;
    here[id.index] = copy;
  }
  for (const NodeId id : inner.topological_order()) {
    const Node& node = inner.node(id);
    std::vector<ValueId> operands;
    for (const ValueId input : node.inputs) operands.push_back(input.valid() ? here[input.index] : kNoValue);
    std::vector<std::string> names;
    for (const ValueId output : node.outputs) {
      names.push_back(output.valid() ? graph.fresh_value_name(inner.value(output).name) : std::string());
    }
    const NodeId copy =
        graph.add_node(node.name, node.op, node.row, std::move(operands), names, node.attrs, node.origin);
    for (size_t port = 0; port < node.outputs.size(); ++port) {
      if (!node.outputs[port].valid()) continue;
      const ValueId result = graph.node(copy).outputs[port];
      graph.value(result).type = inner.value(node.outputs[port]).type;
      graph.value(result).origin = inner.value(node.outputs[port]).origin;
      here[node.outputs[port].index] = result;
    }
  }
  std::vector<ValueId> outputs;
  for (const ValueId id : inner.outputs()) outputs.push_back(here[id.index]);
  return outputs;
}

}  // namespace

PassReport inline_if(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    const Tensor* condition = is_op(node, "if") ? graph.constant(node.input(0)) : nullptr;
    if (condition == nullptr || condition->size() != 1) continue;
    const bool taken = condition->to_int64s()[0] != 0;
    const std::string name = node.name;
    const std::vector<ValueId> captures(node.inputs.begin() + 1, node.inputs.end());
    const std::vector<ValueId> outputs = node.outputs;
    const auto branch = node.attrs.require<std::shared_ptr<const Graph>>(taken ? "then_branch" : "else_branch");
    const std::vector<ValueId> results = splice(graph, *branch, captures);
    for (size_t port = 0; port < outputs.size(); ++port) {
      if (!outputs[port].valid()) continue;
      ValueId result = results[port];
      if (!may_replace(graph, outputs[port], result)) {
        result = graph.node(add_op(graph, graph.value(outputs[port]).name, "identity", {result})).output();
      }
      graph.replace_uses(outputs[port], result);
    }
    graph.erase_node(id);
    report.applied(name, fmt::format("inlined: its condition is always {}", taken));
  }
  return report;
}

}  // namespace amct

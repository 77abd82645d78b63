#include "passes/simplify/eliminate_dead_code.h"

#include <algorithm>

#include "passes/rewrite.h"

namespace amct {
namespace {

bool needed(const Graph& graph, const Node& node) {
  return std::any_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId id) { return id.valid() && (!graph.value(id).uses.empty() || graph.is_output(id)); });
}

}  // namespace

PassReport eliminate_dead_code(Graph& graph, const PassContext&) {
  PassReport report;
  std::vector<NodeId> order = graph.topological_order();
  std::reverse(order.begin(), order.end());
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    if (needed(graph, node)) continue;
    if (node.is_opaque()) {
      report.left_alone(node.name, "its results are not used, but what else it does is not known");
      continue;
    }
    const std::string name = node.name;
    graph.erase_node(id);
    report.applied(name, "removed: its results are not used");
  }
  for (const ValueId id : graph.values()) {
    const Value& value = graph.value(id);
    if (!value.is_constant() || !value.uses.empty() || graph.is_output(id)) continue;
    graph.erase_value(id);
    ++report.changes;
  }
  return report;
}

}  // namespace amct

#include "exec/needed.h"

#include <algorithm>

#include "ops/op_row.h"
#include "ops/subgraph.h"

namespace amct {
namespace {

bool is_concrete(const TensorType& type) { return type.shape.is_fixed() && element_bytes(type.dtype) > 0; }

std::vector<Reach> find_reach(const Graph& graph, const InferredTypes& types, const std::vector<NodeId>& order) {
  std::vector<Reach> reach(graph.value_slots(), Reach::kComputed);
  for (const NodeId id : order) {
    const Node& node = graph.node(id);
    Reach worst = unavoidable_opaque(node) != nullptr ? Reach::kBehindOpaque : Reach::kComputed;
    for (const ValueId input : node.inputs) {
      if (input.valid() && worst == Reach::kComputed) worst = reach[input.index];
    }
    // The extents that a file declares are a hint; such a row takes memory as it runs. A step has all its outputs or
    // none.
    bool waits = !node.is_opaque() && node.row->timing == ShapeTiming::kFromData;
    for (const ValueId output : node.outputs) {
      if (output.valid()) waits = waits || types.hinted[output.index] || !is_concrete(types.types[output.index]);
    }
    for (const ValueId output : node.outputs) {
      if (!output.valid()) continue;
      Reach& result = reach[output.index];
      result = worst == Reach::kComputed && waits ? Reach::kBehindData : worst;
      if (types.values[output.index]) result = Reach::kComputed;
    }
  }
  return reach;
}

}  // namespace

Needed find_needed(const Graph& graph, const InferredTypes& types, const std::vector<ValueId>& wanted) {
  const std::vector<NodeId> order = graph.topological_order();
  Needed needed;
  needed.reach = find_reach(graph, types, order);
  needed.use_count.assign(graph.value_slots(), 0);

  std::vector<bool> value_needed(graph.value_slots(), false);
  for (const ValueId id : wanted) {
    if (needed.reach[id.index] == Reach::kComputed) value_needed[id.index] = true;
  }
  std::vector<NodeId> reversed;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const Node& node = graph.node(*at);
    bool run = false;
    for (const ValueId output : node.outputs) {
      if (output.valid() && value_needed[output.index] && !types.values[output.index]) run = true;
    }
    if (!run) continue;
    reversed.push_back(*at);
    for (const ValueId input : node.inputs) {
      if (!input.valid()) continue;
      value_needed[input.index] = true;
      ++needed.use_count[input.index];
    }
  }
  needed.order.assign(reversed.rbegin(), reversed.rend());
  return needed;
}

}  // namespace amct

#include "passes/quantize/program_ends.h"

#include <fmt/core.h>

#include <algorithm>

#include "ops/op_row.h"
#include "ops/opaque.h"
#include "ops/subgraph.h"
#include "passes/quantize/data_dependence.h"
#include "passes/quantize/plan_layers.h"

namespace amct {
namespace {

bool ends_program(const Node& node, const std::vector<bool>& depends, const InferredTypes* types) {
  if (unavoidable_opaque(node) != nullptr || shape_depends_on_data(node, depends)) return true;
  return types != nullptr && std::ranges::any_of(node.outputs, [&](ValueId output) {
           return output.valid() && (types->hinted[output.index] || !types->types[output.index].shape.is_fixed());
         });
}

}  // namespace

ProgramEnds::ProgramEnds(const Graph& graph, const InferredTypes* types)
    : graph_(graph), before_(graph.value_slots(), kNoNode) {
  const std::vector<bool> depends = depends_on_data(graph);
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    NodeId end = kNoNode;
    for (const ValueId input : node.inputs) {
      if (input.valid() && !end.valid()) end = before_[input.index];
    }
    if (!end.valid() && ends_program(node, depends, types)) {
      nodes_.push_back(id);
      end = id;
    }
    for (const ValueId output : node.outputs) {
      if (output.valid()) before_[output.index] = end;
    }
  }
}

std::string ProgramEnds::reason(const Node& node) const {
  for (const ValueId input : node.inputs) {
    const NodeId end = input.valid() ? before(input) : kNoNode;
    if (end.valid()) return "its input cannot be observed: " + reason_of_end(graph_, end);
  }
  return {};
}

std::string reason_of_end(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const std::string who = fmt::format("'{}' ({})", node.name, foreign_type(node));
  const Node* unknown = unavoidable_opaque(node);
  if (unknown == nullptr) return who + " has results whose shape depends on the data";
  return fmt::format("{} is not supported: {}", who, unknown->attrs.get<std::string>(kOpaqueReason, "it is not known"));
}

}  // namespace amct

#include "passes/execution/join_gates.h"

#include <fmt/core.h>

#include "ops/op_row.h"
#include "passes/execution/pattern.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

struct Activation {
  std::string op;
  Attrs attrs;
};

// The activation that x times `gate` is.
std::optional<Activation> activation_of(const Graph& graph, ValueId x, ValueId gate) {
  if (const Node* sigmoid = made_by(graph, gate, "sigmoid")) {
    if (sigmoid->input(0) == x) return Activation{"swish", {}};
    const Product product = product_of(graph, sigmoid->input(0));
    if (product.factors == std::vector{x}) return Activation{"swish", {{"alpha", product.constant}}};
  }
  if (const Node* hard = made_by(graph, gate, "hard_sigmoid")) {
    const bool is_swish = about(attr_float(*hard, "alpha"), 1.0 / 6) && about(attr_float(*hard, "beta"), 0.5);
    if (is_swish && hard->input(0) == x) return Activation{"hard_swish", {}};
  }
  if (const Node* tanh = made_by(graph, gate, "tanh")) {
    const Node* softplus = made_by(graph, tanh->input(0), "softplus");
    if (softplus != nullptr && softplus->input(0) == x) return Activation{"mish", {}};
  }
  return std::nullopt;
}

}  // namespace

PassReport join_gates(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "mul") || !is_floating(graph.value(node.output()).type.dtype)) continue;
    for (const size_t port : {0, 1}) {
      const ValueId x = node.input(port);
      const auto activation = activation_of(graph, x, node.input(1 - port));
      if (!activation) continue;
      graph.set_op(id, activation->op, &op_table().get(activation->op), activation->attrs);
      graph.set_inputs(id, {x});
      report.applied(node.name, fmt::format("is a {}", activation->op));
      break;
    }
  }
  return report;
}

}  // namespace amct

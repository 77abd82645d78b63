#include "passes/execution/join_gelu.h"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>

#include "ops/op_row.h"
#include "passes/execution/pattern.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr double kCubeFactor = 0.044715;

bool is_cube(const Graph& graph, const Product& product, ValueId x) {
  if (product.factors.size() == 3) {
    return std::all_of(product.factors.begin(), product.factors.end(), [&](ValueId factor) { return factor == x; });
  }
  const Node* pow = product.factors.size() == 1 ? made_by(graph, product.factors[0], "pow") : nullptr;
  const auto exponent = pow != nullptr ? scalar_of(graph, pow->input(1)) : std::nullopt;
  return exponent && *exponent == 3 && pow->input(0) == x;
}

// True if the value is sqrt(2 / pi) (x + 0.044715 x^3).
bool is_tanh_argument(const Graph& graph, ValueId id, ValueId x) {
  const Product product = product_of(graph, id);
  if (product.factors.size() != 1 || !about(product.constant, std::numbers::sqrt2 * std::numbers::inv_sqrtpi)) {
    return false;
  }
  const Node* sum = made_by(graph, product.factors[0], "add");
  if (sum == nullptr || !other_operand(*sum, x).valid()) return false;
  const Product cube = product_of(graph, other_operand(*sum, x));
  return about(cube.constant, kCubeFactor) && is_cube(graph, cube, x);
}

// "none" or "tanh" if `gate` is 1 + erf(…) or 1 + tanh(…) of x; "" if it is neither.
std::string approximation(const Graph& graph, ValueId gate, ValueId x) {
  const Node* sum = made_by(graph, gate, "add");
  if (sum == nullptr) return {};
  for (const size_t port : {0, 1}) {
    const auto one = scalar_of(graph, sum->input(1 - port));
    if (!one || *one != 1) continue;
    if (const Node* erf = made_by(graph, sum->input(port), "erf")) {
      const Product argument = product_of(graph, erf->input(0));
      if (argument.factors == std::vector{x} && about(argument.constant, 1 / std::numbers::sqrt2)) return "none";
    }
    if (const Node* tanh = made_by(graph, sum->input(port), "tanh")) {
      if (is_tanh_argument(graph, tanh->input(0), x)) return "tanh";
    }
  }
  return {};
}

}  // namespace

PassReport join_gelu(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "mul") && !is_op(node, "div")) continue;
    const Product product = product_of(graph, node.output());
    if (product.factors.size() != 2 || !about(product.constant, 0.5)) continue;
    for (const size_t at : {0, 1}) {
      const ValueId x = product.factors[at];
      const std::string approximate = approximation(graph, product.factors[1 - at], x);
      if (approximate.empty()) continue;
      graph.set_op(id, "gelu", &op_table().get("gelu"), {{"approximate", approximate}});
      graph.set_inputs(id, {x});
      report.applied(node.name, approximate == "none" ? "is a gelu" : "is a gelu by tanh");
      break;
    }
  }
  return report;
}

}  // namespace amct

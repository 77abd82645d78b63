#include "passes/simplify/merge_transposes.h"

#include <fmt/core.h>

#include <algorithm>

#include "passes/rewrite.h"

namespace amct {
namespace {

// The order of axes; without the attribute, the reverse (known rank only).
std::optional<std::vector<int64_t>> permutation(const Graph& graph, const Node& node) {
  if (node.attrs.has("perm")) return node.attrs.require<std::vector<int64_t>>("perm");
  const Shape& shape = graph.value(node.input(0)).type.shape;
  if (!shape.ranked()) return std::nullopt;
  std::vector<int64_t> perm(shape.rank());
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = static_cast<int64_t>(perm.size() - 1 - i);
  return perm;
}

std::optional<std::vector<int64_t>> compose(const std::vector<int64_t>& first, const std::vector<int64_t>& second) {
  if (first.size() != second.size()) return std::nullopt;
  std::vector<int64_t> result;
  for (const int64_t axis : second) {
    if (axis < 0 || axis >= static_cast<int64_t>(first.size())) return std::nullopt;
    result.push_back(first[static_cast<size_t>(axis)]);
  }
  return result;
}

void merge(Graph& graph, NodeId id, PassReport& report) {
  const Node& second = graph.node(id);
  const ValueId middle = second.input(0);
  const Node& first = *graph.producer(middle);
  const auto p = permutation(graph, first);
  const auto q = permutation(graph, second);
  const auto joined = p && q ? compose(*p, *q) : std::nullopt;
  if (!joined) return;
  const bool cancels = std::is_sorted(joined->begin(), joined->end());
  if (!cancels && graph.sole_use(middle) == nullptr) return;
  const NodeId first_id = graph.value(middle).producer;
  const std::string name = second.name;
  const std::string first_name = first.name;
  const ValueId x = first.input(0);
  if (cancels) {
    if (!bypass_node(graph, id, x)) {
      report.left_alone(name, fmt::format("undoes '{}', but a graph output needs its name", first_name));
      return;
    }
  } else {
    Attrs attrs = second.attrs;
    attrs.set("perm", *joined);
    graph.set_op(id, second.op, second.row, std::move(attrs));
    graph.set_input(id, 0, x);
  }
  if (graph.value(middle).uses.empty() && !graph.is_output(middle)) graph.erase_node(first_id);
  report.applied(name, fmt::format("{} '{}'", cancels ? "removed together with" : "joined with", first_name));
}

}  // namespace

PassReport merge_transposes(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id) || !is_op(graph.node(id), "transpose")) continue;
    const Node* first = graph.producer(graph.node(id).input(0));
    if (first != nullptr && is_op(*first, "transpose")) merge(graph, id, report);
  }
  return report;
}

}  // namespace amct

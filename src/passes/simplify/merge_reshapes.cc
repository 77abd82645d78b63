#include "passes/simplify/merge_reshapes.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

bool only_reshapes(const Node& node) {
  constexpr std::array<std::string_view, 4> kOps = {"reshape", "flatten", "squeeze", "unsqueeze"};
  return !node.is_opaque() && std::find(kOps.begin(), kOps.end(), node.op) != kOps.end();
}

// A target for reshape that turns a tensor of shape `from` into `to`; nullopt if none says it.
std::optional<std::vector<int64_t>> target_of(const Shape& from, const Shape& to) {
  if (!from.ranked() || !to.ranked()) return std::nullopt;
  std::vector<int64_t> target;
  int open = 0;
  for (size_t i = 0; i < to.rank(); ++i) {
    const bool copied = i == 0 && from.rank() > 0 && from[0] == to[0] && !to[0].is_unknown();
    if (to[i].is_fixed() && to[i].extent() == 0) return std::nullopt;
    if (!copied && !to[i].is_fixed()) ++open;
    target.push_back(copied ? 0 : to[i].extent());
  }
  return open <= 1 ? std::optional(target) : std::nullopt;
}

}  // namespace

PassReport merge_reshapes(Graph& graph, const PassContext&) {
  PassReport report;
  const OpRow* reshape = op_table().find("reshape");
  if (reshape == nullptr) return report;
  for (const NodeId id : graph.topological_order()) {
    const Node& second = graph.node(id);
    if (!only_reshapes(second)) continue;
    const ValueId middle = second.input(0);
    const Node* first = graph.producer(middle);
    if (first == nullptr || !only_reshapes(*first) || graph.sole_use(middle) == nullptr) continue;
    const ValueId x = first->input(0);
    const auto target = target_of(graph.value(x).type.shape, graph.value(second.output()).type.shape);
    if (!target) continue;
    const std::string first_name = first->name;
    const NodeId first_id = graph.value(middle).producer;
    const auto rank = static_cast<int64_t>(target->size());
    const ValueId shape = graph.add_constant(second.name + ".shape", Tensor::of<int64_t>({rank}, *target));
    graph.set_op(id, "reshape", reshape, {});
    graph.set_inputs(id, {x, shape});
    graph.erase_node(first_id);
    report.applied(graph.node(id).name, fmt::format("joined with '{}'", first_name));
  }
  return report;
}

}  // namespace amct

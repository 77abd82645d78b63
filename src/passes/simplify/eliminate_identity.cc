#include "passes/simplify/eliminate_identity.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "passes/rewrite.h"

namespace amct {
namespace {

const TensorType& type_of(const Graph& graph, ValueId id) { return graph.value(id).type; }

// Each rule: the port whose value is the node's first output, or nullopt.
using Rule = std::optional<size_t> (*)(const Graph&, const Node&);

std::optional<size_t> always(const Graph&, const Node&) { return 0; }

std::optional<size_t> single_input(const Graph&, const Node& node) {
  return node.inputs.size() == 1 ? std::optional<size_t>(0) : std::nullopt;
}

std::optional<size_t> dropout(const Graph& graph, const Node& node) {
  const ValueId training = node.input(2);
  if (!training.valid()) return 0;
  const Tensor* flag = graph.constant(training);
  if (flag == nullptr || flag->size() != 1 || flag->to_int64s()[0] != 0) return std::nullopt;
  return 0;
}

std::optional<size_t> same_type(const Graph& graph, const Node& node) {
  const DType from = type_of(graph, node.input(0)).dtype;
  return from != DType::kUndefined && from == type_of(graph, node.output()).dtype ? std::optional<size_t>(0)
                                                                                  : std::nullopt;
}

std::optional<size_t> same_shape(const Graph& graph, const Node& node) {
  const bool same = same_fixed_shape(type_of(graph, node.input(0)).shape, type_of(graph, node.output()).shape);
  return same ? std::optional<size_t>(0) : std::nullopt;
}

std::optional<size_t> slice(const Graph& graph, const Node& node) {
  if (node.input(4).valid()) {
    const auto steps = constant_ints(graph, node, 4);
    if (!steps || std::any_of(steps->begin(), steps->end(), [](int64_t step) { return step <= 0; })) {
      return std::nullopt;
    }
  }
  return same_shape(graph, node);
}

std::optional<size_t> transpose(const Graph& graph, const Node& node) {
  if (!node.attrs.has("perm")) {
    const Shape& shape = type_of(graph, node.input(0)).shape;
    return shape.ranked() && shape.rank() <= 1 ? std::optional<size_t>(0) : std::nullopt;
  }
  const auto perm = node.attrs.require<std::vector<int64_t>>("perm");
  return std::is_sorted(perm.begin(), perm.end()) ? std::optional<size_t>(0) : std::nullopt;
}

std::optional<size_t> pad(const Graph& graph, const Node& node) {
  const auto pads = constant_ints(graph, node, 1);
  const bool nothing = pads && std::all_of(pads->begin(), pads->end(), [](int64_t pad) { return pad == 0; });
  return nothing ? std::optional<size_t>(0) : std::nullopt;
}

std::optional<size_t> clip(const Graph&, const Node& node) {
  return !node.input(1).valid() && !node.input(2).valid() ? std::optional<size_t>(0) : std::nullopt;
}

// True if input `port` is a constant full of a number that leaves the other operand as it is under `neutral`.
template <typename Neutral>
std::optional<size_t> neutral_operand(const Graph& graph, const Node& node, size_t port, Neutral neutral) {
  constexpr int64_t kMaxElements = 1 << 20;
  if (node.inputs.size() != 2) return std::nullopt;
  const size_t other = 1 - port;
  const Tensor* tensor = graph.constant(node.input(port));
  if (tensor == nullptr || tensor->size() > kMaxElements || bit_width(tensor->dtype()) < 8) return std::nullopt;
  if (!is_integer(tensor->dtype()) && !is_floating(tensor->dtype())) return std::nullopt;
  const TensorType& data = type_of(graph, node.input(other));
  if (data.dtype != tensor->dtype()) return std::nullopt;
  const bool scalar = tensor->size() == 1 && data.shape.ranked() && tensor->rank() <= data.shape.rank();
  if (!scalar && !same_fixed_shape(data.shape, type_of(graph, node.output()).shape)) return std::nullopt;
  const bool integers = is_integer(tensor->dtype());
  for (const double value : tensor->to_doubles()) {
    if (!neutral(value, integers)) return std::nullopt;
  }
  return other;
}

bool is_one(double value, bool) { return value == 1; }
bool is_zero_to_subtract(double value, bool) { return value == 0 && !std::signbit(value); }
bool is_zero_to_add(double value, bool integers) { return value == 0 && (integers || std::signbit(value)); }

std::optional<size_t> add(const Graph& graph, const Node& node) {
  const auto right = neutral_operand(graph, node, 1, is_zero_to_add);
  return right ? right : neutral_operand(graph, node, 0, is_zero_to_add);
}

std::optional<size_t> sub(const Graph& graph, const Node& node) {
  return neutral_operand(graph, node, 1, is_zero_to_subtract);
}

std::optional<size_t> mul(const Graph& graph, const Node& node) {
  const auto right = neutral_operand(graph, node, 1, is_one);
  return right ? right : neutral_operand(graph, node, 0, is_one);
}

std::optional<size_t> by_one(const Graph& graph, const Node& node) { return neutral_operand(graph, node, 1, is_one); }

struct OpRule {
  std::string_view op;
  Rule rule;
};

constexpr std::array kRules = std::to_array<OpRule>({
    {"identity", always},
    {"dropout", dropout},
    {"cast", same_type},
    {"cast_like", same_type},
    {"reshape", same_shape},
    {"flatten", same_shape},
    {"squeeze", same_shape},
    {"unsqueeze", same_shape},
    {"expand", same_shape},
    {"tile", same_shape},
    {"slice", slice},
    {"transpose", transpose},
    {"pad", pad},
    {"concat", single_input},
    {"sum", single_input},
    {"max", single_input},
    {"min", single_input},
    {"mean", single_input},
    {"clip", clip},
    {"add", add},
    {"sub", sub},
    {"mul", mul},
    {"div", by_one},
    {"pow", by_one},
});

}  // namespace

PassReport eliminate_identity(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.is_opaque()) continue;
    const auto* rule = std::find_if(kRules.begin(), kRules.end(), [&](const OpRule& r) { return r.op == node.op; });
    if (rule == kRules.end() || !node.input(0).valid()) continue;
    const auto port = rule->rule(graph, node);
    if (!port) continue;
    const std::string name = node.name;
    const std::string op = node.op;
    if (bypass_node(graph, id, graph.node(id).input(*port))) {
      report.applied(name, fmt::format("removed: this {} hands its input through", op));
    } else {
      report.left_alone(name, fmt::format("this {} hands its input through, but a graph output needs its name or "
                                          "its second output is used",
                                          op));
    }
  }
  return report;
}

}  // namespace amct

#include "passes/rewrite.h"

#include <limits>

namespace amct {

bool may_replace(const Graph& graph, ValueId from, ValueId to) {
  if (!graph.is_output(from)) return true;
  return graph.value(to).kind == ValueKind::kComputed && !graph.is_output(to);
}

bool only_first_output_used(const Graph& graph, const Node& node) {
  for (size_t port = 1; port < node.outputs.size(); ++port) {
    const ValueId id = node.outputs[port];
    if (id.valid() && (!graph.value(id).uses.empty() || graph.is_output(id))) return false;
  }
  return true;
}

bool bypass_node(Graph& graph, NodeId id, ValueId to) {
  const Node& node = graph.node(id);
  if (!only_first_output_used(graph, node) || !may_replace(graph, node.output(), to)) return false;
  graph.replace_uses(node.output(), to);
  graph.erase_node(id);
  return true;
}

bool make_constant(Graph& graph, ValueId value, Tensor data) {
  if (graph.is_output(value)) return false;
  const NodeId producer = graph.value(value).producer;
  const std::string name = graph.value(value).name;
  const Origin origin = graph.value(value).origin;
  const ValueId constant = graph.add_constant(name, std::move(data));
  graph.value(constant).origin = origin;
  graph.replace_uses(value, constant);
  bool needed = false;
  for (const ValueId output : graph.node(producer).outputs) {
    needed = needed || (output.valid() && (!graph.value(output).uses.empty() || graph.is_output(output)));
  }
  if (!needed) {
    graph.erase_node(producer);
    graph.rename_value(constant, name);
  }
  return true;
}

void set_constant_input(Graph& graph, NodeId id, size_t port, Tensor data, std::string_view name) {
  const ValueId old = graph.node(id).input(port);
  if (old.valid() && graph.value(old).is_constant() && graph.value(old).uses.size() == 1 && !graph.is_output(old)) {
    graph.replace_constant(old, std::move(data));
    return;
  }
  graph.set_input(id, port, graph.add_constant(name, std::move(data)));
}

void replace_input(Graph& graph, NodeId id, size_t port, ValueId to) {
  const ValueId old = graph.node(id).input(port);
  graph.set_input(id, port, to);
  erase_unused_constants(graph, {old});
}

void erase_unused_constants(Graph& graph, const std::vector<ValueId>& values) {
  for (const ValueId id : values) {
    const bool unused = id.valid() && graph.alive(id) && graph.value(id).uses.empty() && !graph.is_output(id);
    if (unused && graph.value(id).is_constant()) graph.erase_value(id);
  }
}

ClipBounds clip_bounds(const Graph& graph, const Node& clip) {
  const auto bound = [&](size_t port, double none) -> std::optional<double> {
    if (!clip.input(port).valid()) return none;
    const Tensor* tensor = graph.constant(clip.input(port));
    if (tensor == nullptr || tensor->size() != 1) return std::nullopt;
    return tensor->to_doubles()[0];
  };
  constexpr double kNone = std::numeric_limits<double>::infinity();
  return {bound(1, -kNone), bound(2, kNone)};
}

std::optional<std::vector<int64_t>> constant_ints(const Graph& graph, const Node& node, size_t port) {
  const Tensor* tensor = graph.constant(node.input(port));
  if (tensor == nullptr || !is_integer(tensor->dtype())) return std::nullopt;
  return tensor->to_int64s();
}

bool same_fixed_shape(const Shape& a, const Shape& b) { return a.is_fixed() && a == b; }

bool is_op(const Node& node, std::string_view op) { return !node.is_opaque() && node.op == op; }

bool is_quantizer(const Node& node) { return !node.is_opaque() && node.op.find("quant") != std::string::npos; }

}  // namespace amct

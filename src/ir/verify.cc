#include "ir/verify.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

namespace amct {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  std::vector<std::string> run() {
    for (const NodeId id : graph_.nodes()) check_node(id);
    for (const ValueId id : graph_.values()) check_value(id);
    check_interface();
    if (faults_.empty()) check_cycles();
    return std::move(faults_);
  }

 private:
  template <typename... Args>
  void fault(fmt::format_string<Args...> format, Args&&... args) {
    faults_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.name.empty()) fault("node {} has no name", id.index);
    if (node.op.empty()) fault("node '{}' has no operator", node.name);
    if (graph_.find_node(node.name) != id)
      fault("node '{}' is not found by its name: the name is not its own", node.name);
    for (uint32_t port = 0; port < node.inputs.size(); ++port) {
      const ValueId input = node.inputs[port];
      if (!input.valid()) continue;
      if (!graph_.alive(input)) {
        fault("node '{}' reads a deleted value at input {}", node.name, port);
        continue;
      }
      const Value& value = graph_.value(input);
      const auto count = std::count(value.uses.begin(), value.uses.end(), Use{id, port});
      if (count != 1) {
        fault("value '{}' lists its use by input {} of node '{}' {} times", value.name, port, node.name, count);
      }
    }
    for (uint32_t port = 0; port < node.outputs.size(); ++port) check_output(id, node, port);
    for (const auto& [name, value] : node.attrs.items()) check_attr(node, name, value);
  }

  void check_output(NodeId id, const Node& node, uint32_t port) {
    const ValueId output = node.outputs[port];
    if (!output.valid()) return;
    if (!graph_.alive(output)) {
      fault("node '{}' produces a deleted value at output {}", node.name, port);
      return;
    }
    const Value& value = graph_.value(output);
    if (value.kind != ValueKind::kComputed || value.producer != id || value.output_port != port) {
      fault("output {} of node '{}' is value '{}', which names another producer", port, node.name, value.name);
    }
  }

  void check_attr(const Node& node, const std::string& name, const AttrValue& value) {
    const auto* inner = std::get_if<std::shared_ptr<const Graph>>(&value);
    if (inner == nullptr) return;
    if (*inner == nullptr) {
      fault("attribute '{}' of node '{}' is a graph that is not there", name, node.name);
      return;
    }
    for (const std::string& text : verify(**inner)) fault("graph '{}' of node '{}': {}", name, node.name, text);
  }

  void check_value(ValueId id) {
    const Value& value = graph_.value(id);
    if (value.name.empty()) fault("value {} has no name", id.index);
    if (graph_.find_value(value.name) != id)
      fault("value '{}' is not found by its name: the name is not its own", value.name);
    for (const Use& use : value.uses) {
      if (!graph_.alive(use.node)) {
        fault("value '{}' is used by a deleted node", value.name);
      } else if (graph_.node(use.node).input(use.port) != id) {
        fault("value '{}' lists a use that node '{}' does not make", value.name, graph_.node(use.node).name);
      }
    }
    if (value.kind == ValueKind::kComputed) {
      const bool produced = value.producer.valid() && graph_.alive(value.producer) &&
                            graph_.node(value.producer).output(value.output_port) == id;
      if (!produced) fault("computed value '{}' has no producer", value.name);
    } else if (value.producer.valid()) {
      fault("value '{}' is not computed and has a producer", value.name);
    }
    check_data(value);
  }

  void check_data(const Value& value) {
    const bool has_data = value.kind == ValueKind::kConstant || value.kind == ValueKind::kVariable;
    if (!has_data) {
      if (value.data) fault("value '{}' is no constant and has data", value.name);
      return;
    }
    if (!value.data) {
      fault("constant '{}' has no data", value.name);
    } else if (value.data.type() != value.type) {
      fault("constant '{}' of type {}{} holds data of type {}{}", value.name, name_of(value.type.dtype),
            value.type.shape.to_string(), name_of(value.data.dtype()), to_string(value.data.dims()));
    }
  }

  void check_interface() {
    std::set<ValueId> inputs;
    for (const ValueId id : graph_.inputs()) {
      if (!graph_.alive(id)) {
        fault("a graph input is a deleted value");
      } else if (graph_.value(id).kind != ValueKind::kInput) {
        fault("graph input '{}' is not an input", graph_.value(id).name);
      } else if (!inputs.insert(id).second) {
        fault("graph input '{}' is listed twice", graph_.value(id).name);
      }
    }
    for (const ValueId id : graph_.values()) {
      if (graph_.value(id).kind == ValueKind::kInput && !inputs.contains(id)) {
        fault("input '{}' is not listed as a graph input", graph_.value(id).name);
      }
    }
    for (const ValueId id : graph_.outputs()) {
      if (!graph_.alive(id)) fault("a graph output is a deleted value");
    }
  }

  void check_cycles() {
    try {
      graph_.topological_order();
    } catch (const Error& error) {
      faults_.emplace_back(error.what());
    }
  }

  const Graph& graph_;
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> verify(const Graph& graph) { return Verifier(graph).run(); }

}  // namespace amct

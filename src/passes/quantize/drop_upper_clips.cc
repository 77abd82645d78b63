#include "passes/quantize/drop_upper_clips.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/op_row.h"

namespace amct {
namespace {

std::optional<float> constant_scalar(const Graph& graph, ValueId id) {
  const Tensor* tensor = id.valid() ? graph.constant(id) : nullptr;
  if (tensor == nullptr || tensor->size() != 1) return std::nullopt;
  return static_cast<float>(tensor->to_doubles()[0]);
}

// True if the quantizer maps everything from `high` up to its largest integer.
bool saturates(const Node& quantizer, float high) {
  const std::string type = attr_string(quantizer, "dst_type");
  const float largest = type == "INT16" ? 32767 : type == "INT4" ? 7 : 127;
  const auto scale = static_cast<float>(attr_float(quantizer, "scale"));
  return std::nearbyint(high * scale) + static_cast<float>(attr_float(quantizer, "offset")) >= largest;
}

}  // namespace

void drop_upper_clips(Graph& deploy, PassReport& report) {
  for (const NodeId id : deploy.topological_order()) {
    const Node& node = deploy.node(id);
    if (node.is_opaque() || node.op != "clip" || deploy.is_output(node.output())) continue;
    const auto low = constant_scalar(deploy, node.input(1)), high = constant_scalar(deploy, node.input(2));
    const std::vector<Use>& uses = deploy.value(node.output()).uses;
    if (low != 0.0f || !high || uses.empty()) continue;
    const bool covered = std::ranges::all_of(uses, [&](const Use& use) {
      const Node& reader = deploy.node(use.node);
      return reader.op == "ascend_quant" && saturates(reader, *high);
    });
    if (!covered) continue;
    const std::vector<ValueId> inputs = node.inputs;
    deploy.set_inputs(id, {inputs[0]});
    deploy.set_op(id, "relu", &op_table().get("relu"), {});
    for (size_t port = 1; port < inputs.size(); ++port) {
      if (!deploy.alive(inputs[port]) || !deploy.value(inputs[port]).uses.empty()) continue;
      if (!deploy.is_output(inputs[port])) deploy.erase_value(inputs[port]);
    }
    report.applied(deploy.node(id).name, "became ReLU");
    deploy.rename_node(id, deploy.fresh_node_name(deploy.node(id).name + ".relu"));
  }
}

}  // namespace amct

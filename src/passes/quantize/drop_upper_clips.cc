#include "passes/quantize/drop_upper_clips.h"

#include <algorithm>
#include <cmath>

#include "ops/op_row.h"
#include "passes/rewrite.h"
#include "plan/plan.h"

namespace amct {
namespace {

// True if the quantizer maps everything from `high` up to its largest integer.
bool saturates(const Node& quantizer, float high) {
  const auto largest = static_cast<float>((1 << (bits_of_type(attr_string(quantizer, "dst_type")) - 1)) - 1);
  const auto scale = static_cast<float>(attr_float(quantizer, "scale"));
  return std::nearbyint(high * scale) + static_cast<float>(attr_float(quantizer, "offset")) >= largest;
}

}  // namespace

void drop_upper_clips(Graph& deploy, PassReport& report) {
  for (const NodeId id : deploy.topological_order()) {
    const Node& node = deploy.node(id);
    if (node.is_opaque() || node.op != "clip" || deploy.is_output(node.output())) continue;
    const auto [low, high] = clip_bounds(deploy, node);
    const std::vector<Use>& uses = deploy.value(node.output()).uses;
    if (low != 0.0 || !high || std::isinf(*high) || uses.empty()) continue;
    const auto top = static_cast<float>(*high);
    const bool covered = std::ranges::all_of(uses, [&](const Use& use) {
      const Node& reader = deploy.node(use.node);
      return reader.op == "ascend_quant" && saturates(reader, top);
    });
    if (!covered) continue;
    const std::vector<ValueId> inputs = node.inputs;
    deploy.set_inputs(id, {inputs[0]});
    deploy.set_op(id, "relu", &op_table().get("relu"), {});
    erase_unused_constants(deploy, inputs);
    report.applied(deploy.node(id).name, "became ReLU");
    deploy.rename_node(id, deploy.fresh_node_name(deploy.node(id).name + ".relu"));
  }
}

}  // namespace amct

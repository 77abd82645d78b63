#include "workflow/weight_only.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "base/error.h"
#include "ops/op_row.h"

namespace amct {
namespace {

constexpr size_t kMatrix = 2;

// True for a matrix whose columns or rows are the outputs.
bool is_matrix(const Graph& graph, const LayerPlan& layer) {
  const Node& node = graph.node(graph.find_node(layer.name));
  const Tensor* weight = graph.constant(node.input(static_cast<size_t>(node.row->quant.compute_rule().weight_port)));
  return weight != nullptr && weight->rank() == kMatrix;
}

}  // namespace

void check_weight_only(const QuantizeRequest& request) {
  const std::pair<bool, const char*> given[] = {
      {request.activation_bits.has_value(), "--activation-bits"},
      {request.search.has_value(), "--search"},
      {request.balance || request.search_balance, "--balance"},
      {request.joint, "--joint"},
      {request.shift, "--shift"},
      {request.nuq_loss.has_value(), "--nuq-loss"},
      {request.nuq_weighted, "--nuq-weighted"},
      {request.calibrate_with_quantized_weights.has_value(), "--calibrate-weights"},
      {!request.parts.empty(), "--calibration"},
      {request.resume, "--resume"},
      {request.others != nullptr, "--workers"},
  };
  Faults faults;
  for (const auto& [is_given, option] : given) {
    if (!is_given) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("{} has no meaning where only weights are quantized", option), {},
                     "leave it out, or --weight-only"));
  }
  if (request.weight_bits == 6 || request.weight_bits == 7) {
    faults.add(Error(ErrorCode::kConfig, "--weight-only stores weights in 4 or 8 bits", {}, "choose one of these"));
  }
  if (request.emit == std::set<Emit>{Emit::kDeploy}) {
    faults.add(Error(ErrorCode::kUnsupported,
                     "no deploy model can have float activations: Ascend's operators of one compute with quantized "
                     "activations",
                     {.model = request.model.string()}, "--emit fake,qdq"));
  }
  faults.throw_if_any();
}

void plan_weights_only(const Graph& graph, Plan& plan) {
  plan.weight_only = true;
  plan.correct_bias = false;  // the error that it corrects is known from samples
  plan.search_shifts = false;
  plan.tensors.clear();
  plan.joint.clear();
  for (LayerPlan& layer : plan.layers) {
    layer.balance_strength.reset();
    if (!layer.quantize) continue;
    if (!layer.weight) {
      layer.quantize = false;
      layer.reason = "it has no weight, and activations stay float";
    } else if (layer.weight->group == 0 && !layer.hidden && is_matrix(graph, layer)) {
      layer.weight->per_channel = true;
    }
  }
}

}  // namespace amct

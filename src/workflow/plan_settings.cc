#include "workflow/plan_settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "passes/quantize/tensor_inputs.h"

namespace amct {
namespace {

ActivationPlan settings_of(ActivationPlan read) {
  if (!read.fixed) read.factor.reset();
  return read;
}

void apply(const LayerPlan& read, LayerPlan& layer, std::vector<std::string>& warnings) {
  if (read.quantize && !layer.quantize) {
    warnings.push_back(fmt::format("{} stays float: {}", layer.name, layer.reason));
    return;
  }
  if (!read.quantize) {
    if (layer.quantize) layer.reason = read.reason.empty() ? "the plan says so" : read.reason;
    layer.quantize = false;
  }
  layer.activation = settings_of(read.activation);
  if (layer.second && read.second) layer.second = settings_of(*read.second);
  layer.balance_strength = layer.weight && !layer.hidden ? read.balance_strength : std::nullopt;
  if (read.hidden && layer.hidden) {
    layer.hidden->activation = settings_of(read.hidden->activation);
    layer.hidden->weight.per_channel = read.hidden->weight.per_channel;
  } else if (layer.hidden) {
    layer.hidden->activation.bits = layer.activation.bits;
  }
  if (read.weight && layer.weight) {
    if (!layer.hidden) {
      layer.weight->bits = read.weight->bits;
    } else if (read.weight->bits != 8) {
      warnings.push_back(
          fmt::format("{} has 8-bit weights instead of {}: it is a recurrent layer", layer.name, read.weight->bits));
    }
    layer.weight->per_channel = read.weight->per_channel;
    layer.weight->group = layer.hidden ? 0 : read.weight->group;
    layer.weight->steps = layer.hidden ? 0 : read.weight->steps;
  }
}

// That every use of a tensor is an input that can be quantized and reads that tensor.
void check_uses(const PlanFile& read, const std::string& file, const Graph& graph) {
  Faults faults;
  for (size_t i = 0; i < read.plan.tensors.size(); ++i) {
    const TensorPlan& tensor = read.plan.tensors[i];
    for (const InputUse& use : tensor.uses) {
      const NodeId id = graph.find_node(use.node);
      std::string fault = id.valid() ? reason_against_input(graph, graph.node(id), use.input) : "there is no such node";
      if (fault.empty() && graph.value(graph.node(id).input(static_cast<size_t>(use.input))).name != tensor.tensor) {
        fault = "it reads another tensor";
      }
      if (fault.empty()) continue;
      faults.add(Error(ErrorCode::kConfig,
                       fmt::format("input {} of '{}' cannot be quantized as tensor '{}': {}", use.input, use.node,
                                   tensor.tensor, fault),
                       {.file = file, .line = read.tensor_lines[i]}));
    }
  }
  faults.throw_if_any();
}

}  // namespace

void apply_settings(const PlanFile& read, const std::string& file, const Graph& graph, Plan& plan) {
  // Tensors that only some target asks for are added later: those of the file are taken if the model has them.
  Plan expected = plan;
  for (const TensorPlan& tensor : read.plan.tensors) {
    if (graph.find_value(tensor.tensor).valid()) expected.tensors.push_back(tensor);
  }
  check_plan_fits(read, expected, file);
  check_uses(read, file, graph);
  for (const LayerPlan& layer : read.plan.layers) apply(layer, *plan.find(layer.name), plan.warnings);
  for (const TensorPlan& tensor : read.plan.tensors) {
    plan.tensors.push_back({tensor.tensor, settings_of(tensor.activation), tensor.uses});
  }
  plan.joint = read.plan.joint;
  plan.half_scales = read.plan.half_scales;
  plan.search_shifts = read.plan.search_shifts;
  plan.correct_bias = read.plan.correct_bias;
  plan.calibrate_with_quantized_weights = read.plan.calibrate_with_quantized_weights;
}

}  // namespace amct

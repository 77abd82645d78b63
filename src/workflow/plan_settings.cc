#include "workflow/plan_settings.h"

#include <fmt/format.h>

#include <algorithm>

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
  layer.balance_strength = layer.weight ? read.balance_strength : std::nullopt;
  if (read.weight && layer.weight) {
    layer.weight->bits = read.weight->bits;
    layer.weight->per_channel = read.weight->per_channel;
    layer.weight->steps = read.weight->steps;
  }
}

}  // namespace

void apply_settings(const PlanFile& read, const std::string& file, Plan& plan) {
  // Tensors that only some target asks for are added later: those of the file are taken as they are.
  Plan expected = plan;
  for (const TensorPlan& tensor : read.plan.tensors) expected.tensors.push_back(tensor);
  check_plan_fits(read, expected, file);
  for (const LayerPlan& layer : read.plan.layers) apply(layer, *plan.find(layer.name), plan.warnings);
  for (const TensorPlan& tensor : read.plan.tensors) {
    plan.tensors.push_back({tensor.tensor, settings_of(tensor.activation)});
  }
  plan.half_scales = read.plan.half_scales;
  plan.correct_bias = read.plan.correct_bias;
  plan.calibrate_with_quantized_weights = read.plan.calibrate_with_quantized_weights;
}

}  // namespace amct

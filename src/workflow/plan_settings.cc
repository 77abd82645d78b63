#include "workflow/plan_settings.h"

#include <fmt/core.h>

#include <unordered_map>

#include "passes/quantize/plan_layers.h"
#include "passes/quantize/program_ends.h"
#include "passes/quantize/tensor_inputs.h"
#include "workflow/expand_config.h"

namespace amct {
namespace {

ActivationPlan settings_of(ActivationPlan read) {
  if (!read.fixed) read.factor.reset();
  return read;
}

// The settings that the other forms of a configuration have too.
config::CalibrationSettings common_settings(const LayerPlan& read) {
  config::CalibrationSettings settings;
  settings.activation.bits = read.activation.bits;
  settings.activation.asymmetric = read.activation.asymmetric;
  settings.migration_strength = read.balance_strength;
  if (!read.weight) return settings;
  settings.weight.bits = read.weight->bits;
  if (read.weight->steps > 0) settings.weight.algorithm = config::WeightSettings::Algorithm::kNuq;
  return settings;
}

// Writes the layers of a file into the model's own plan. What a layer cannot have is a downgrade, as in AMCT's
// configurations; but a plan may ask for a weight scale per channel wherever the layer takes it.
class LayerApplier {
 public:
  LayerApplier(const PlanFile& read, const std::string& file, const Graph& graph, Plan& plan)
      : read_(read), file_(file), graph_(graph), plan_(plan) {
    for (LayerPlan& layer : plan.layers) layers_.emplace(layer.name, &layer);
  }

  void run() {
    for (size_t i = 0; i < read_.plan.layers.size(); ++i) {
      line_ = read_.layer_lines[i];
      apply(read_.plan.layers[i], *layers_.at(read_.plan.layers[i].name));
    }
    faults_.throw_if_any();
  }

 private:
  void apply(const LayerPlan& read, LayerPlan& layer) {
    if (read.quantize && !layer.quantize) {
      plan_.warnings.push_back(fmt::format("{} stays float: {}", layer.name, layer.reason));
      return;
    }
    if (!read.quantize) {
      if (layer.quantize) layer.reason = read.reason.empty() ? "the plan says so" : read.reason;
      layer.quantize = false;
      return;
    }
    config::CalibrationSettings settings = common_settings(read);
    for (std::string& line : downgrade(graph_, layer, settings)) plan_.downgrades.push_back(std::move(line));
    const bool may_shift = layer.activation.asymmetric;
    set(read.activation, layer.name, may_shift, layer.activation);
    layer.activation.bits = settings.activation.bits;
    layer.balance_strength = settings.migration_strength;
    if (layer.second && read.second) apply_second(*read.second, layer);
    if (layer.hidden) apply_hidden(read, may_shift, layer);
    if (read.weight && layer.weight) apply_weight(*read.weight, settings.weight, layer);
  }

  // `may_shift`: the operator allows an offset.
  void set(const ActivationPlan& read, const std::string& owner, bool may_shift, ActivationPlan& activation) {
    activation = settings_of(read);
    activation.asymmetric = read.asymmetric && may_shift;
    if (may_shift || !activation.factor || activation.factor->offset == 0) return;
    faults_.add(
        Error(ErrorCode::kConfig,
              fmt::format("offset of {} is {}, must be 0: its operator allows none", owner, activation.factor->offset),
              {.file = file_, .line = line_}));
  }

  void apply_second(const ActivationPlan& read, LayerPlan& layer) {
    const std::string owner = layer.name + " (second input)";
    set(read, owner, false, *layer.second);
    if (read.asymmetric)
      plan_.downgrades.push_back(owner + " has a symmetric activation: its operator allows no offset");
    if (layer.second->bits == layer.activation.bits) return;
    plan_.downgrades.push_back(fmt::format("{} has {} bits instead of {}: both inputs of a product have the same",
                                           owner, layer.activation.bits, read.bits));
    layer.second->bits = layer.activation.bits;
  }

  void apply_hidden(const LayerPlan& read, bool may_shift, LayerPlan& layer) {
    if (read.hidden) {
      set(read.hidden->activation, "the state of " + layer.name, may_shift, layer.hidden->activation);
      layer.hidden->weight.per_channel = read.hidden->weight.per_channel;
    }
    layer.hidden->activation.bits = layer.activation.bits;
  }

  void apply_weight(const WeightPlan& read, const config::WeightSettings& settings, LayerPlan& layer) {
    WeightPlan& weight = *layer.weight;
    weight.bits = settings.bits;
    weight.group = layer.hidden ? 0 : read.group;
    weight.steps = settings.algorithm == config::WeightSettings::Algorithm::kNuq ? read.steps : 0;
    weight.per_channel = read.per_channel;
    if (!read.per_channel || takes_scale_per_channel(graph_, graph_.find_node(layer.name))) return;
    weight.per_channel = false;
    if (weight.group > 0) return;  // which has scales of its own
    plan_.downgrades.push_back(
        fmt::format("{} has one weight scale instead of one per channel: its result is no matrix", layer.name));
  }

  const PlanFile& read_;
  const std::string& file_;
  const Graph& graph_;
  Plan& plan_;
  std::unordered_map<std::string, LayerPlan*> layers_;
  int line_ = 0;
  Faults faults_;
};

// That every use of a tensor is an input that can be quantized and reads that tensor.
void check_uses(const PlanFile& read, const std::string& file, const Graph& graph) {
  const ProgramEnds ends(graph);
  Faults faults;
  for (size_t i = 0; i < read.plan.tensors.size(); ++i) {
    const TensorPlan& tensor = read.plan.tensors[i];
    for (const InputUse& use : tensor.uses) {
      const NodeId id = graph.find_node(use.node);
      std::string fault = id.valid() ? reason_against_input(graph, graph.node(id), use.input) : "there is no such node";
      if (fault.empty()) fault = ends.reason(graph.node(id));
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
  LayerApplier(read, file, graph, plan).run();
  for (const TensorPlan& tensor : read.plan.tensors) {
    plan.tensors.push_back({tensor.tensor, settings_of(tensor.activation), tensor.uses});
  }
  plan.joint = read.plan.joint;
  plan.weight_only = read.plan.weight_only;
  plan.half_scales = read.plan.half_scales;
  plan.search_shifts = read.plan.search_shifts;
  plan.correct_bias = read.plan.correct_bias;
  plan.calibrate_with_quantized_weights = read.plan.calibrate_with_quantized_weights;
}

}  // namespace amct

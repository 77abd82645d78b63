#include "workflow/balance_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>

#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/dmq.h"
#include "passes/quantize/integer_constants.h"
#include "workflow/calibrate.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

constexpr int64_t kSearchSamples = 16;

// The integers' way through a value and back to floats.
ValueId fake_quantized_value(Graph& graph, const LayerPlan& layer, ValueId value) {
  const ScaleOffset factor = *layer.activation.factor;
  const DType type = layer.activation.bits == 16 ? DType::kInt16 : DType::kInt8;
  const ValueId scale = graph.add_constant(layer.name + ".search.scale", Tensor::scalar<float>(factor.scale));
  const ValueId zero =
      graph.add_constant(layer.name + ".search.zero", Tensor::scalar<int64_t>(factor.offset).cast(type));
  const NodeId quantize = add_op(graph, layer.name + ".search.quantize", "quantize_linear", {value, scale, zero});
  const NodeId back = add_op(graph, layer.name + ".search.dequantize", "dequantize_linear",
                             {graph.node(quantize).output(), scale, zero});
  return graph.node(back).output();
}

// The float result of a layer and its difference from that of a quantized twin with the same input.
struct Twin {
  ValueId result, difference;
};

Twin add_twin(Graph& graph, const LayerPlan& layer) {
  const NodeId id = graph.find_node(layer.name);
  const auto& rule = graph.node(id).row->quant.compute_rule();
  const auto port = static_cast<size_t>(rule.weight_port);
  std::vector<ValueId> inputs = graph.node(id).inputs;
  const ValueId weight = inputs[port];
  const Tensor fake =
      fake_quantized(*graph.constant(weight), *layer.weight, rule.channel_axis_for(graph, graph.node(id)));
  inputs[port] = graph.add_constant(layer.name + ".search.weight", fake.cast(graph.constant(weight)->dtype()));
  inputs[0] = fake_quantized_value(graph, layer, inputs[0]);
  const Attrs attrs = graph.node(id).attrs;
  const NodeId twin = add_op(graph, layer.name + ".search", graph.node(id).op, inputs, attrs);
  const NodeId difference =
      add_op(graph, layer.name + ".search.difference", "sub", {graph.node(twin).output(), graph.node(id).output()});
  return {graph.node(id).output(), graph.node(difference).output()};
}

double sum_of_squares(const TensorView& view) {
  double sum = 0;
  if (view.dtype != DType::kFloat32) return sum;
  const float* values = view.as<float>();
  for (int64_t i = 0; i < view.size(); ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return sum;
}

}  // namespace

std::vector<LayerError> layer_errors(const Graph& graph, const Plan& plan, const DataSource& source, int64_t samples,
                                     int workers) {
  Graph twins = graph;
  std::unordered_map<ValueId, std::pair<size_t, double LayerError::*>> wanted;
  CompileOptions options{.threads = 1};
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerPlan& layer = plan.layers[i];
    if (!layer.quantize || !layer.weight || layer.hidden || layer.activation.bits == 4) continue;
    const Twin twin = add_twin(twins, layer);
    wanted.emplace(twin.result, std::pair{i, &LayerError::signal});
    wanted.emplace(twin.difference, std::pair{i, &LayerError::error});
    options.observe.push_back(twin.result);
    options.observe.push_back(twin.difference);
  }
  std::vector<LayerError> errors(plan.layers.size());
  if (wanted.empty()) return errors;
  update_types(twins);
  const auto program = compile_for_samples(std::make_shared<const Graph>(std::move(twins)), source, options);
  const auto count = static_cast<size_t>(std::min<int64_t>(samples, static_cast<int64_t>(source.size())));
  // By sample, so that they are added in one order however the workers share them.
  std::vector<std::vector<LayerError>> by_sample(count, std::vector<LayerError>(plan.layers.size()));
  run_samples({program}, source,
              {.workers = workers, .samples = static_cast<int64_t>(count), .label = "searching strengths"},
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
                const auto& [layer, sum] = wanted.at(id);
                by_sample[run.first_sample][layer].*sum = sum_of_squares(valid_rows(view, run));
              },
              {});
  for (const auto& sample : by_sample) {
    for (size_t i = 0; i < errors.size(); ++i) {
      errors[i].error += sample[i].error;
      errors[i].signal += sample[i].signal;
    }
  }
  return errors;
}

void choose_balance_strengths(const Graph& graph, Plan& plan, std::span<const ChannelMaxima> maxima,
                              const DataSource& source, int64_t samples, int workers) {
  const int64_t few = std::min(samples, kSearchSamples);
  const std::vector<LayerPlan> asked = plan.layers;
  std::vector<double> least(plan.layers.size(), std::numeric_limits<double>::infinity());
  std::vector<std::optional<double>> candidates{std::nullopt};
  for (const double strength : kBalanceCandidates) candidates.emplace_back(strength);
  for (const std::optional<double>& strength : candidates) {
    Plan trial = plan;
    trial.layers = asked;
    trial.correct_bias = trial.search_shifts = false;
    trial.tensors.clear();
    trial.joint.clear();
    Graph balanced = graph;
    for (size_t i = 0; i < asked.size(); ++i) {
      const bool balances = strength && asked[i].balance_strength && !maxima[i].weight.empty();
      if (balances) {
        trial.layers[i].balance_factors = balance_factors(maxima[i].activation, maxima[i].weight, *strength);
      }
    }
    apply_balance(balanced, trial);
    update_types(balanced);
    calibrate(balanced, trial, source, few, workers);
    const std::vector<LayerError> errors = layer_errors(balanced, trial, source, few, workers);
    for (size_t i = 0; i < asked.size(); ++i) {
      if (!asked[i].balance_strength || !(errors[i].error < least[i])) continue;
      least[i] = errors[i].error;
      plan.layers[i].balance_strength = strength;
    }
  }
}

}  // namespace amct

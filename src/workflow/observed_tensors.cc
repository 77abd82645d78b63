#include "workflow/observed_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "passes/quantize/bias_correction.h"

namespace amct {

std::vector<ObservedTensor> observed_tensors(const Graph& graph, Plan& plan) {
  std::vector<ObservedTensor> tensors;
  std::unordered_map<ValueId, size_t> known;
  const auto add = [&](const std::string& name, const std::string& user,
                       ActivationPlan& activation) -> ObservedTensor& {
    const ValueId id = graph.find_value(name);
    AMCT_CHECK(id.valid(), fmt::format("the plan names tensor '{}', which the graph lacks", name));
    const auto [at, is_new] = known.try_emplace(id, tensors.size());
    if (is_new) tensors.push_back({id, name, {}});
    ObservedTensor& tensor = tensors[at->second];
    if (!activation.fixed) tensor.users.emplace_back(user, &activation);
    return tensor;
  };
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    ObservedTensor& tensor = add(layer.tensor, layer.name, layer.activation);
    if (plan.correct_bias && layer.weight) tensor.channel_axis = input_channel_axis(graph, layer);
  }
  for (TensorPlan& tensor : plan.tensors) add(tensor.tensor, tensor.tensor, tensor.activation);
  return tensors;
}

ObservedView observed_view(const ObservedTensor& tensor, const Program& program, int64_t samples) {
  ObservedView view;
  const Shape& shape = program.type(tensor.value).shape;
  const auto count = static_cast<uint64_t>(shape.element_count().value_or(1) * samples);
  for (const auto& [name, plan] : tensor.users) {
    const double percentile = std::min(plan->search.max_percentile, plan->search.min_percentile);
    view.tail_capacity = std::max(view.tail_capacity, Histogram::tail_capacity(percentile, count));
  }
  if (tensor.channel_axis > 0) {
    view.channel_axis = memory_axis(tensor.channel_axis, shape.rank(), program.observed_layout(tensor.value));
  }
  return view;
}

void TensorStatistics::add(const TensorView& values) {
  observer_.observe(values);
  if (channel_axis_ > 0) channels_.add(values, channel_axis_);
}

void TensorStatistics::merge(const TensorStatistics& other) {
  observer_.merge(other.observer_);
  channels_.merge(other.channels_);
}

}  // namespace amct

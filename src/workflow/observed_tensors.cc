#include "workflow/observed_tensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "passes/quantize/bias_correction.h"
#include "passes/quantize/hidden_states.h"

namespace amct {

std::vector<ObservedTensor> observed_tensors(const Graph& graph, Plan& plan) {
  std::vector<ObservedTensor> tensors;
  std::unordered_map<ValueId, size_t> known;
  const auto add = [&](const std::string& name, const std::string& user,
                       ActivationPlan& activation) -> ObservedTensor& {
    const ValueId id = graph.find_value(name);
    AMCT_CHECK(id.valid(), fmt::format("the plan names tensor '{}', which the graph lacks", name));
    const auto [at, is_new] = known.try_emplace(id, tensors.size());
    if (is_new) tensors.push_back({.value = id, .name = name, .users = {}, .group = tensors.size()});
    ObservedTensor& tensor = tensors[at->second];
    if (!activation.fixed) {
      tensor.users.emplace_back(user, &activation);
    } else if (activation.bits == kJointBits) {
      tensor.given = activation.factor;
    }
    return tensor;
  };
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    ObservedTensor& tensor = add(layer.tensor, layer.name, layer.activation);
    if (layer.hidden) {
      add(hidden_states_name(layer.name), "the state of " + layer.name, layer.hidden->activation);
    } else if (plan.correct_bias && layer.weight) {
      tensor.channel_axis = input_channel_axis(graph, layer);
    }
    if (layer.second) add(layer.second_tensor, layer.name + " (second input)", *layer.second);
  }
  for (TensorPlan& tensor : plan.tensors) add(tensor.tensor, tensor.tensor, tensor.activation);
  std::unordered_map<std::string, size_t> group_of;
  for (size_t i = 0; i < plan.joint.size(); ++i) {
    for (const std::string& name : plan.joint[i]) group_of[name] = i;
  }
  std::unordered_map<size_t, size_t> first;  // tensor of each group
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto at = group_of.find(tensors[i].name);
    if (at == group_of.end()) continue;
    tensors[i].group = first.try_emplace(at->second, i).first->second;
    tensors[i].joint = true;
  }
  return tensors;
}

std::vector<int> hfmg_bins(const ObservedTensor& tensor) {
  std::vector<int> bins;
  for (const auto& [user, activation] : tensor.users) {
    const ClipSearch& search = activation->search;
    const bool is_joint = tensor.joint && activation->bits == kJointBits;  // searched in the merged histogram
    if (search.method != ClipSearch::Method::kHfmg || is_joint) continue;
    if (std::find(bins.begin(), bins.end(), search.bins) == bins.end()) bins.push_back(search.bins);
  }
  return bins;
}

std::vector<ObservedView> observed_views(const std::vector<ObservedTensor>& tensors, const Program& program,
                                         int64_t samples) {
  const int64_t runs = (samples + program.batch() - 1) / program.batch();
  std::vector<uint64_t> counts(tensors.size(), 0);  // of values, by group
  for (const ObservedTensor& tensor : tensors) {
    const auto elements = program.type(tensor.value).shape.element_count();
    counts[tensor.group] += static_cast<uint64_t>(elements.value_or(1) * runs);
  }
  std::vector<size_t> capacities(tensors.size(), ObservedView{}.tail_capacity);
  std::vector<size_t> members(tensors.size(), 0);  // of a group
  for (const ObservedTensor& tensor : tensors) {
    ++members[tensor.group];
    for (const auto& [name, plan] : tensor.users) {
      const double percentile = std::min(plan->search.max_percentile, plan->search.min_percentile);
      size_t& capacity = capacities[tensor.group];
      capacity = std::max(capacity, Histogram::tail_capacity(percentile, counts[tensor.group]));
    }
  }
  std::vector<ObservedView> views;
  for (const ObservedTensor& tensor : tensors) {
    ObservedView& view = views.emplace_back(ObservedView{.tail_capacity = capacities[tensor.group]});
    if (members[tensor.group] == 1 && !tensor.joint) view.every = Observer::every_for(counts[tensor.group]);
    if (tensor.channel_axis == 0) continue;
    const size_t rank = program.type(tensor.value).shape.rank();
    view.channel_axis = memory_axis(tensor.channel_axis, rank, program.observed_layout(tensor.value));
  }
  return views;
}

void TensorStatistics::add(const TensorView& values) {
  const bool in_rows = channel_axis_ > 0 && channel_axis_ + 1 == values.dims.size() && values.dtype == DType::kFloat32;
  observer_.observe(values, in_rows ? &channels_ : nullptr);
  if (channel_axis_ > 0 && !in_rows) channels_.add(values, channel_axis_);
}

void TensorStatistics::merge(const TensorStatistics& other) {
  observer_.merge(other.observer_);
  channels_.merge(other.channels_);
}

void TensorStatistics::merge(TensorStatistics&& other) {
  if (observer_.empty() && merges_with(other)) {
    *this = std::move(other);
  } else {
    merge(std::as_const(other));
  }
}

bool TensorStatistics::merges_with(const TensorStatistics& other) const {
  const size_t channels = channels_.channels(), others = other.channels_.channels();
  return observer_.merges_with(other.observer_) && (channels == 0 || others == 0 || channels == others);
}

void TensorStatistics::write(ByteWriter& out) const {
  observer_.write(out);
  channels_.write(out);
}

TensorStatistics TensorStatistics::read(ByteReader& in) {
  Observer observer = Observer::read(in);
  return {std::move(observer), ChannelSums::read(in)};
}

}  // namespace amct

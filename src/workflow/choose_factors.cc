// choose_factors of calibrate.h: from what was observed to the factors and corrections of a plan.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/thread_pool.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/clip_search.h"
#include "passes/quantize/hidden_states.h"
#include "passes/quantize/range_limits.h"
#include "workflow/calibrate.h"
#include "workflow/memory_need.h"

namespace amct {
namespace {

constexpr const char* kSameOptions = "calibrate with the --emit and the targets of this command, or with neither";

const TensorPart& part_of(const CalibrationPart& part, const ObservedTensor& tensor) {
  const auto at = part.tensors.find(tensor.name);
  if (at != part.tensors.end()) return at->second;
  throw Error(ErrorCode::kInput, fmt::format("the parts know nothing of tensor '{}'", tensor.name), {}, kSameOptions);
}

// The factor that the user gave to some of them.
std::optional<ScaleOffset> given_factor(const std::vector<const ObservedTensor*>& group) {
  std::optional<ScaleOffset> given;
  for (const ObservedTensor* tensor : group) {
    if (!tensor->joint || !tensor->given) continue;
    if (given && *given != *tensor->given) {
      throw Error(ErrorCode::kConfig,
                  fmt::format("'{}' shares its factor with a tensor of another fixed factor", tensor->name), {},
                  "fix one of a joint group, or all to the same factor");
    }
    given = tensor->given;
  }
  return given;
}

// What all tensors of a group hold together, and the widest limits of any.
FactorChoice choose_joint(const Graph& graph, const std::vector<const ObservedTensor*>& group,
                          const std::vector<const TensorPart*>& parts, const ActivationPlan& settings) {
  Observer merged(parts.front()->statistics.tail_capacity());
  RangeLimits limits = range_limits(graph, group.front()->value);
  for (size_t i = 0; i < group.size(); ++i) {
    if (!parts[i]->statistics.observer().merges_with(merged)) {
      throw Error(ErrorCode::kInput,
                  fmt::format("tensor '{}' was observed without those that it shares its factor with", group[i]->name),
                  {}, kSameOptions);
    }
    merged.merge(parts[i]->statistics.observer());
    const RangeLimits own = range_limits(graph, group[i]->value);
    limits = {std::min(limits.low, own.low), std::max(limits.high, own.high)};
  }
  return choose_factor(merged.finish(), settings, limits);
}

void choose_group_factors(const Graph& graph, const Plan& plan, const std::vector<const ObservedTensor*>& group,
                          const std::vector<const TensorPart*>& parts, std::vector<std::string>& warnings) {
  const auto finish = [&](const FactorChoice& chosen) {
    return plan.half_scales ? with_half_scale(chosen.factor) : chosen.factor;
  };
  std::optional<ScaleOffset> shared = given_factor(group);
  for (size_t i = 0; i < group.size(); ++i) {
    std::optional<Distribution> distribution;
    for (const auto& [user, activation] : group[i]->users) {
      const bool joint = group[i]->joint && activation->bits == kJointBits;
      if (joint && shared) {
        activation->factor = shared;
        continue;
      }
      if (!joint && !distribution) distribution = parts[i]->statistics.distribution();
      const EqualBins* ordered = parts[i]->ordered.find(activation->search.bins);
      const FactorChoice chosen =
          joint ? choose_joint(graph, group, parts, *activation)
                : choose_factor(*distribution, *activation, range_limits(graph, group[i]->value), ordered);
      activation->factor = finish(chosen);
      if (joint) shared = activation->factor;
      if (!chosen.warning.empty()) warnings.push_back(fmt::format("{}: {}", user, chosen.warning));
    }
  }
}

void choose_from(const Graph& graph, Plan& plan, const std::vector<ObservedTensor>& tensors,
                 const CalibrationPart& part, int workers) {
  std::vector<std::vector<const ObservedTensor*>> groups(tensors.size());
  std::vector<std::vector<const TensorPart*>> of_groups(tensors.size());
  for (const ObservedTensor& tensor : tensors) {
    groups[tensor.group].push_back(&tensor);
    of_groups[tensor.group].push_back(&part_of(part, tensor));
  }
  std::vector<std::vector<std::string>> warnings(tensors.size());
  parallel_for(tensors.size(), workers, [&](int, size_t i) {
    if (groups[i].empty()) return;
    try {
      choose_group_factors(graph, plan, groups[i], of_groups[i], warnings[i]);
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = groups[i].front()->user()});
    }
  });
  for (const auto& list : warnings) plan.warnings.insert(plan.warnings.end(), list.begin(), list.end());
}

// What the factors depend on besides model, data and settings.
void describe_origin(Plan& plan, const std::vector<ObservedTensor>& tensors, const CalibrationPart& part) {
  size_t merged = 0;
  for (const ObservedTensor& tensor : tensors) {
    const bool is_in_order = !part.tensors.at(tensor.name).ordered.empty();
    merged += !hfmg_bins(tensor).empty() && !is_in_order ? 1 : 0;
  }
  if (merged > 0) {
    plan.origin.push_back(
        fmt::format("hfmg: {} histograms are merged from parts; one process fills them batch by batch, as AMCT does, "
                    "and may choose other factors",
                    merged));
  }
  if (part.instruction_sets.size() > 1) {
    plan.origin.push_back(fmt::format("the parts were computed with different instruction sets: {}",
                                      fmt::join(part.instruction_sets, ", ")));
  }
  plan.warnings.insert(plan.warnings.end(), plan.origin.begin(), plan.origin.end());
}

void correct_biases(const Graph& graph, Plan& plan, const CalibrationPart& part, int workers) {
  parallel_for(plan.layers.size(), weight_workers(graph, workers), [&](int, size_t i) {
    LayerPlan& layer = plan.layers[i];
    if (!layer.quantize || !layer.weight || layer.hidden) return;
    layer.bias_correction = bias_correction(graph, layer, part.tensors.at(layer.tensor).statistics.channel_means());
  });
}

}  // namespace

void choose_factors(const Graph& model, Plan& plan, const CalibrationPart& part, int workers, CalibrationTimes& times) {
  const HiddenStates states(model, plan);
  const Graph& graph = states.graph();
  const auto start = Clock::now();
  times.samples = part.identity.samples;
  if (times.samples < part.identity.asked) {
    plan.warnings.push_back(
        fmt::format("only {} samples are there, {} were asked for", times.samples, part.identity.asked));
  }
  plan.samples = times.samples;
  plan.isa = part.identity.isa;
  if (part.instruction_sets.size() > 1) plan.isa = fmt::format("{}", fmt::join(part.instruction_sets, ", "));
  const std::vector<ObservedTensor> tensors = observed_tensors(graph, plan);
  choose_from(graph, plan, tensors, part, workers);
  describe_origin(plan, tensors, part);
  if (plan.correct_bias) correct_biases(graph, plan, part, workers);
  times.search_seconds += seconds_since(start);
}

}  // namespace amct

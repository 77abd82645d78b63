#include "workflow/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <unordered_map>

#include "base/thread_pool.h"
#include "kernels/dnnl/isa.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/clip_search.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/range_limits.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/memory_need.h"
#include "workflow/observed_tensors.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr uint64_t kStatisticsBytes = 48 << 10;  // of one tensor, about
constexpr uint64_t kGraphsBesides = 4;           // with weights of their own: quantized ones for each output, corrected

// Leading rows of a view whose batch was filled up.
TensorView valid_part(const TensorView& view, const SampleRun& run) {
  TensorView part = view;
  if (run.valid < run.rows && !part.dims.empty() && part.dims[0] == static_cast<int64_t>(run.rows)) {
    part.dims[0] = static_cast<int64_t>(run.valid);
  }
  return part;
}

// What workers have learned, by tensor.
using Statistics = std::vector<std::unique_ptr<TensorStatistics>>;

Statistics observe_samples(const std::shared_ptr<const Program>& program, const std::vector<ObservedTensor>& tensors,
                           const DataSource& source, int64_t samples, int workers) {
  std::unordered_map<ValueId, size_t> index;
  for (size_t i = 0; i < tensors.size(); ++i) index[tensors[i].value] = i;
  const std::vector<ObservedView> views = observed_views(tensors, *program, samples);
  std::vector<Statistics> by_worker(static_cast<size_t>(workers));
  run_samples({program}, source,
              {.workers = workers,
               .samples = samples,
               .label = "calibrating",
               // The comparison that follows runs the quantized network beside the float one.
               .worker_bytes = tensors.size() * kStatisticsBytes + program->arena_bytes(),
               .shared_bytes = kGraphsBesides * constant_bytes(program->graph())},
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
                Statistics& statistics = by_worker[run.worker];
                statistics.resize(tensors.size());
                const size_t i = index.at(id);
                if (statistics[i] == nullptr) statistics[i] = std::make_unique<TensorStatistics>(views[i]);
                statistics[i]->add(valid_part(view, run));
              },
              {});
  Statistics merged(tensors.size());
  for (Statistics& statistics : by_worker) {
    for (size_t i = 0; i < statistics.size(); ++i) {
      if (merged[i] == nullptr) {
        merged[i] = std::move(statistics[i]);
      } else if (statistics[i] != nullptr) {
        merged[i]->merge(*statistics[i]);
        statistics[i].reset();
      }
    }
  }
  return merged;
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
                          const std::vector<const TensorStatistics*>& statistics, const ActivationPlan& settings) {
  Observer merged(statistics.front()->tail_capacity());
  RangeLimits limits = range_limits(graph, group.front()->value);
  for (size_t i = 0; i < group.size(); ++i) {
    merged.merge(statistics[i]->observer());
    const RangeLimits own = range_limits(graph, group[i]->value);
    limits = {std::min(limits.low, own.low), std::max(limits.high, own.high)};
  }
  return choose_factor(merged.finish(), settings, limits);
}

void choose_group_factors(const Graph& graph, const Plan& plan, const std::vector<const ObservedTensor*>& group,
                          const std::vector<const TensorStatistics*>& statistics, std::vector<std::string>& warnings) {
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
      if (!joint && !distribution) distribution = statistics[i]->distribution();
      const FactorChoice chosen = joint
                                      ? choose_joint(graph, group, statistics, *activation)
                                      : choose_factor(*distribution, *activation, range_limits(graph, group[i]->value));
      activation->factor = finish(chosen);
      if (joint) shared = activation->factor;
      if (!chosen.warning.empty()) warnings.push_back(fmt::format("{}: {}", user, chosen.warning));
    }
  }
}

void choose_factors(const Graph& graph, Plan& plan, const std::vector<ObservedTensor>& tensors,
                    const Statistics& statistics, int workers) {
  std::vector<std::vector<const ObservedTensor*>> groups(tensors.size());
  std::vector<std::vector<const TensorStatistics*>> of_groups(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    groups[tensors[i].group].push_back(&tensors[i]);
    of_groups[tensors[i].group].push_back(statistics[i].get());
  }
  std::vector<std::vector<std::string>> warnings(tensors.size());
  parallel_for(tensors.size(), workers, [&](int, size_t i) {
    if (groups[i].empty()) return;
    try {
      choose_group_factors(graph, plan, groups[i], of_groups[i], warnings[i]);
    } catch (const Error& error) {
      const ObservedTensor& tensor = *groups[i].front();
      throw error.with({.model = graph.info.path, .node = tensor.users.empty() ? tensor.name : tensor.users[0].first});
    }
  });
  for (const auto& list : warnings) plan.warnings.insert(plan.warnings.end(), list.begin(), list.end());
}

void correct_biases(const Graph& graph, Plan& plan, const std::vector<ObservedTensor>& tensors,
                    const Statistics& statistics, int workers) {
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < tensors.size(); ++i) index[tensors[i].name] = i;
  if (has_large_weights(graph)) workers = 1;  // each takes copies of a layer's weights
  parallel_for(plan.layers.size(), workers, [&](int, size_t i) {
    LayerPlan& layer = plan.layers[i];
    if (!layer.quantize || !layer.weight) return;
    layer.bias_correction = bias_correction(graph, layer, statistics[index.at(layer.tensor)]->channel_means());
  });
}

}  // namespace

CalibrationTimes calibrate(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers) {
  CalibrationTimes times;
  times.samples = std::min<int64_t>(samples, static_cast<int64_t>(source.size()));
  if (times.samples < samples) {
    plan.warnings.push_back(fmt::format("only {} samples are there, {} were asked for", times.samples, samples));
  }
  plan.samples = times.samples;
  plan.isa = dnn::isa_name();
  fill_weight_scales(graph, plan);
  const std::vector<ObservedTensor> tensors = observed_tensors(graph, plan);
  if (tensors.empty()) return times;

  const auto start = Clock::now();
  auto calibrated = std::make_shared<const Graph>(
      plan.calibrate_with_quantized_weights ? fake_quantized_weights(graph, plan) : graph);
  CompileOptions options{.threads = 1};
  for (const ObservedTensor& tensor : tensors) options.observe.push_back(tensor.value);
  const auto program = compile_for_samples(calibrated, source, options);
  times.compile_seconds = seconds_since(start);

  const auto run_start = Clock::now();
  const Statistics statistics = observe_samples(program, tensors, source, times.samples, workers);
  times.run_seconds = seconds_since(run_start);

  const auto search_start = Clock::now();
  choose_factors(graph, plan, tensors, statistics, workers);
  if (plan.correct_bias) correct_biases(graph, plan, tensors, statistics, workers);
  times.search_seconds = seconds_since(search_start);
  return times;
}

}  // namespace amct

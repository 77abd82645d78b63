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
  std::vector<ObservedView> views;
  for (const ObservedTensor& tensor : tensors) {
    index[tensor.value] = views.size();
    views.push_back(observed_view(tensor, *program, samples));
  }
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

void choose_factors(const Graph& graph, Plan& plan, const std::vector<ObservedTensor>& tensors,
                    const Statistics& statistics, int workers) {
  std::vector<std::vector<std::string>> warnings(tensors.size());
  parallel_for(tensors.size(), workers, [&](int, size_t i) {
    const ObservedTensor& tensor = tensors[i];
    try {
      const Distribution distribution = statistics[i]->distribution();
      const RangeLimits limits = range_limits(graph, tensor.value);
      for (const auto& [user, activation] : tensor.users) {
        const FactorChoice chosen = choose_factor(distribution, *activation, limits);
        activation->factor = plan.half_scales ? with_half_scale(chosen.factor) : chosen.factor;
        if (!chosen.warning.empty()) warnings[i].push_back(fmt::format("{}: {}", user, chosen.warning));
      }
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = tensor.users.empty() ? tensor.name : tensor.users[0].first});
    }
  });
  for (const auto& list : warnings) plan.warnings.insert(plan.warnings.end(), list.begin(), list.end());
}

void correct_biases(const Graph& graph, Plan& plan, const std::vector<ObservedTensor>& tensors,
                    const Statistics& statistics, int workers) {
  std::unordered_map<std::string, size_t> index;
  for (size_t i = 0; i < tensors.size(); ++i) index[tensors[i].name] = i;
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

#include "workflow/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/thread_pool.h"
#include "exec/channel_sums.h"
#include "exec/observer.h"
#include "kernels/dnnl/isa.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/clip_search.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/range_limits.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// One tensor to observe and every activation plan that wants its factor.
struct Observed {
  ValueId value;
  std::string name;
  std::vector<std::pair<std::string, ActivationPlan*>> users;  // layer or tensor name, for messages
  size_t tail_capacity = 0;
  size_t channel_axis = 0;  // memory axis of the channels whose means are wanted; 0 = none
};

Observed& add_user(std::vector<Observed>& tensors, const Graph& graph, const std::string& tensor,
                   const std::string& user, ActivationPlan& plan) {
  const ValueId id = graph.find_value(tensor);
  AMCT_CHECK(id.valid(), fmt::format("the plan names tensor '{}', which the graph lacks", tensor));
  auto at = std::find_if(tensors.begin(), tensors.end(), [&](const Observed& o) { return o.value == id; });
  if (at == tensors.end()) at = tensors.insert(tensors.end(), Observed{id, tensor, {}});
  if (!plan.fixed) at->users.emplace_back(user, &plan);
  return *at;
}

std::vector<Observed> tensors_of(const Graph& graph, Plan& plan) {
  std::vector<Observed> tensors;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize) continue;
    Observed& tensor = add_user(tensors, graph, layer.tensor, layer.name, layer.activation);
    if (plan.correct_bias && layer.weight) tensor.channel_axis = input_channel_axis(graph, layer);
  }
  for (TensorPlan& tensor : plan.tensors) add_user(tensors, graph, tensor.tensor, tensor.tensor, tensor.activation);
  return tensors;
}

// Values kept exactly at each end: what the farthest percentile of any user needs.
size_t tail_capacity(const Observed& tensor, uint64_t expected_count) {
  size_t capacity = 1;
  for (const auto& [name, plan] : tensor.users) {
    const double percentile = std::min(plan->search.max_percentile, plan->search.min_percentile);
    capacity = std::max(capacity, Histogram::tail_capacity(percentile, expected_count));
  }
  return capacity;
}

// Leading rows of a view whose batch was filled up.
TensorView valid_part(const TensorView& view, const SampleRun& run) {
  TensorView part = view;
  if (run.valid < run.rows && !part.dims.empty() && part.dims[0] == static_cast<int64_t>(run.rows)) {
    part.dims[0] = static_cast<int64_t>(run.valid);
  }
  return part;
}

// What one worker knows of one tensor.
struct Statistics {
  explicit Statistics(size_t tail_capacity) : observer(tail_capacity) {}
  Observer observer;
  ChannelSums channels;
};
using Observers = std::vector<std::unique_ptr<Statistics>>;  // by tensor

Observers observe_samples(const std::shared_ptr<const Program>& program, std::vector<Observed>& tensors,
                          const DataSource& source, int64_t samples, int workers) {
  std::unordered_map<ValueId, size_t> index;
  for (size_t i = 0; i < tensors.size(); ++i) {
    index[tensors[i].value] = i;
    if (tensors[i].channel_axis > 0) {
      const size_t rank = program->type(tensors[i].value).shape.rank();
      tensors[i].channel_axis = memory_axis(tensors[i].channel_axis, rank, program->observed_layout(tensors[i].value));
    }
    const auto elements = program->type(tensors[i].value).shape.element_count().value_or(1);
    tensors[i].tail_capacity = tail_capacity(tensors[i], static_cast<uint64_t>(elements * samples));
  }
  std::vector<Observers> by_worker(static_cast<size_t>(workers));
  run_samples({program}, source, {.workers = workers, .samples = samples, .label = "calibrating"},
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
                Observers& observers = by_worker[run.worker];
                if (observers.empty()) observers.resize(tensors.size());
                const size_t i = index.at(id);
                if (observers[i] == nullptr) observers[i] = std::make_unique<Statistics>(tensors[i].tail_capacity);
                const TensorView valid = valid_part(view, run);
                observers[i]->observer.observe(valid);
                if (tensors[i].channel_axis > 0) observers[i]->channels.add(valid, tensors[i].channel_axis);
              },
              {});
  Observers merged(tensors.size());
  for (Observers& observers : by_worker) {
    for (size_t i = 0; i < observers.size(); ++i) {
      if (merged[i] == nullptr) {
        merged[i] = std::move(observers[i]);
      } else if (observers[i] != nullptr) {
        merged[i]->observer.merge(observers[i]->observer);
        merged[i]->channels.merge(observers[i]->channels);
        observers[i].reset();
      }
    }
  }
  return merged;
}

void choose_factors(const Graph& graph, Plan& plan, const std::vector<Observed>& tensors, const Observers& observers,
                    int workers) {
  std::vector<std::vector<std::string>> warnings(tensors.size());
  parallel_for(tensors.size(), workers, [&](int, size_t i) {
    const Observed& tensor = tensors[i];
    try {
      const Distribution distribution = observers[i]->observer.finish();
      const RangeLimits limits = range_limits(graph, tensor.value);
      for (const auto& [user, activation] : tensor.users) {
        const FactorChoice chosen = choose_factor(distribution, *activation, limits);
        activation->factor = chosen.factor;
        if (!chosen.warning.empty()) warnings[i].push_back(fmt::format("{}: {}", user, chosen.warning));
      }
    } catch (const Error& error) {
      throw error.with({.model = graph.info.path, .node = tensor.users.empty() ? tensor.name : tensor.users[0].first});
    }
  });
  for (const auto& list : warnings) plan.warnings.insert(plan.warnings.end(), list.begin(), list.end());
}

void correct_biases(const Graph& graph, Plan& plan, const std::vector<Observed>& tensors, const Observers& observers) {
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight) continue;
    const auto at =
        std::find_if(tensors.begin(), tensors.end(), [&](const Observed& o) { return o.name == layer.tensor; });
    const auto i = static_cast<size_t>(at - tensors.begin());
    layer.bias_correction = bias_correction(graph, layer, observers[i]->channels.means());
  }
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
  std::vector<Observed> tensors = tensors_of(graph, plan);
  if (tensors.empty()) return times;

  const auto start = Clock::now();
  auto calibrated = std::make_shared<const Graph>(
      plan.calibrate_with_quantized_weights ? fake_quantized_weights(graph, plan) : graph);
  CompileOptions options{.threads = 1};
  for (const Observed& tensor : tensors) options.observe.push_back(tensor.value);
  const auto program = compile_for_samples(calibrated, source, options);
  times.compile_seconds = seconds_since(start);

  const auto run_start = Clock::now();
  const Observers observers = observe_samples(program, tensors, source, times.samples, workers);
  times.run_seconds = seconds_since(run_start);

  const auto search_start = Clock::now();
  choose_factors(graph, plan, tensors, observers, workers);
  if (plan.correct_bias) correct_biases(graph, plan, tensors, observers);
  times.search_seconds = seconds_since(search_start);
  return times;
}

}  // namespace amct

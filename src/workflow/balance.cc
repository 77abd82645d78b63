#include "workflow/balance.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "ops/infer.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/dmq.h"
#include "workflow/part_run.h"

namespace amct {
namespace {

// A value that balanced layers read. Layers that read the same value agree on the axis of its channels, or are matrices
// and images, which never share one.
struct Watched {
  ValueId value;
  size_t axis = 0;  // in memory
};

bool is_balanced(const LayerPlan& layer) { return layer.quantize && layer.balance_strength; }

}  // namespace

bool is_balanced(const Plan& plan) {
  return std::any_of(plan.layers.begin(), plan.layers.end(), [](const LayerPlan& layer) { return is_balanced(layer); });
}

void observe_maxima(const Graph& graph, const Plan& plan, const DataSource& source, const ObserveOptions& options,
                    CalibrationPart& part) {
  std::map<std::string, Watched> watched;
  for (const LayerPlan& layer : plan.layers) {
    if (!is_balanced(layer)) continue;
    watched.try_emplace(layer.tensor, Watched{graph.find_value(layer.tensor), input_channel_axis(graph, layer)});
  }
  CompileOptions compile{.threads = 1};
  std::unordered_map<ValueId, size_t> index;
  for (const auto& [name, item] : watched) {
    index[item.value] = compile.observe.size();
    compile.observe.push_back(item.value);
  }
  const auto program = compile_for_samples(std::make_shared<const Graph>(graph), source, compile);
  std::vector<size_t> axes;
  for (const auto& [name, item] : watched) {
    axes.push_back(
        memory_axis(item.axis, program->type(item.value).shape.rank(), program->observed_layout(item.value)));
  }
  std::vector<std::vector<ChannelMax>> by_worker(static_cast<size_t>(options.workers),
                                                 std::vector<ChannelMax>(watched.size()));
  const auto collect = [&] {
    for (auto& worker : by_worker) {
      size_t i = 0;
      for (const auto& [name, item] : watched) part.maxima[name].merge(worker[i++]);
    }
  };
  part.stage = CalibrationPart::Stage::kPreliminary;
  run_part(
      program, source, options,
      {.run = {.workers = options.workers, .label = "balancing"}, .collect = collect, .fail = {}},
      [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
        const size_t i = index.at(id);
        by_worker[run.worker][i].add(view, axes[i]);
      },
      part);
}

std::vector<std::string> balance(Graph& graph, Plan& plan, const std::map<std::string, ChannelMax>& maxima) {
  for (LayerPlan& layer : plan.layers) {
    if (!is_balanced(layer)) continue;
    const auto activation = maxima.find(layer.tensor);
    if (activation == maxima.end()) {
      throw Error(ErrorCode::kInput, fmt::format("the parts know no maxima of tensor '{}'", layer.tensor), {},
                  "calibrate again");
    }
    const std::vector<float> weight = weight_channel_max(graph, layer);
    if (!activation->second.finite()) {
      throw Error(ErrorCode::kNumeric, "the activation holds NaN or infinity",
                  {.model = graph.info.path, .node = layer.name}, "check the calibration data");
    }
    if (weight.empty() || weight.size() != activation->second.values().size()) {
      plan.warnings.push_back(layer.name + " is not balanced: its weight has no input channels to scale");
      continue;
    }
    layer.balance_factors = balance_factors(activation->second.values(), weight, *layer.balance_strength);
  }
  apply_balance(graph, plan);
  std::vector<std::string> folded = fold_balance(graph, plan);
  update_types(graph);
  return folded;
}

}  // namespace amct

#include "workflow/balance.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

#include "exec/channel_max.h"
#include "ops/infer.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/dmq.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

// A value that balanced layers read. Layers that read the same value agree on the axis of its channels, or are matrices
// and images, which never share one.
struct Watched {
  ValueId value;
  size_t axis = 0;  // in memory
};

std::vector<ChannelMax> observe(const std::shared_ptr<const Graph>& graph, std::vector<Watched>& watched,
                                const DataSource& source, int64_t samples, int workers) {
  CompileOptions options{.threads = 1};
  std::unordered_map<ValueId, size_t> index;
  for (size_t i = 0; i < watched.size(); ++i) {
    index[watched[i].value] = i;
    options.observe.push_back(watched[i].value);
  }
  const auto program = compile_for_samples(graph, source, options);
  for (Watched& item : watched) {
    item.axis = memory_axis(item.axis, program->type(item.value).shape.rank(), program->observed_layout(item.value));
  }
  std::vector<std::vector<ChannelMax>> by_worker(static_cast<size_t>(workers), std::vector<ChannelMax>(watched.size()));
  const SampleRunOptions run_options{
      .workers = workers, .samples = std::min<int64_t>(samples, source.size()), .label = "balancing"};
  run_samples({program}, source, run_options,
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
                const size_t i = index.at(id);
                by_worker[run.worker][i].add(view, watched[i].axis);
              },
              {});
  std::vector<ChannelMax> merged(watched.size());
  for (const auto& worker : by_worker) {
    for (size_t i = 0; i < merged.size(); ++i) merged[i].merge(worker[i]);
  }
  return merged;
}

}  // namespace

std::vector<std::string> balance(Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers) {
  std::vector<Watched> watched;
  std::unordered_map<std::string, size_t> by_tensor;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.balance_strength || by_tensor.contains(layer.tensor)) continue;
    by_tensor[layer.tensor] = watched.size();
    watched.push_back({graph.find_value(layer.tensor), input_channel_axis(graph, layer)});
  }
  if (watched.empty()) return {};
  const auto most = observe(std::make_shared<const Graph>(graph), watched, source, samples, workers);
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.balance_strength) continue;
    const ChannelMax& activation = most[by_tensor.at(layer.tensor)];
    const std::vector<float> weight = weight_channel_max(graph, layer);
    if (!activation.finite()) {
      throw Error(ErrorCode::kNumeric, "the activation holds NaN or infinity",
                  {.model = graph.info.path, .node = layer.name}, "check the calibration data");
    }
    if (weight.empty() || weight.size() != activation.values().size()) {
      plan.warnings.push_back(layer.name + " is not balanced: its weight has no input channels to scale");
      continue;
    }
    layer.balance_factors = balance_factors(activation.values(), weight, *layer.balance_strength);
  }
  apply_balance(graph, plan);
  std::vector<std::string> folded = fold_balance(graph, plan);
  update_types(graph);
  return folded;
}

}  // namespace amct

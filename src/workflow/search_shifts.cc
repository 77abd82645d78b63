#include "workflow/search_shifts.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_map>

#include "passes/quantize/bias_correction.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/shift_search.h"
#include "workflow/memory_need.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

struct ShiftedLayer {
  LayerPlan* layer;
  ValueId result;
  size_t channel_axis = 0;  // in memory
};

std::vector<ShiftedLayer> layers_to_shift(const Graph& graph, Plan& plan) {
  std::vector<ShiftedLayer> layers;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.hidden) continue;
    const NodeId id = graph.find_node(layer.name), add = bias_add_of(graph, id);
    layers.push_back({&layer, graph.node(add.valid() ? add : id).output()});
  }
  return layers;
}

}  // namespace

void search_shifts(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers) {
  const Graph fake = fake_quantized_weights(graph, plan, weight_workers(graph, workers));
  auto corrected = std::make_shared<const Graph>(with_corrected_biases(fake, plan));
  std::vector<ShiftedLayer> layers = layers_to_shift(*corrected, plan);
  if (layers.empty()) return;
  CompileOptions options{.threads = 1};
  std::unordered_map<ValueId, size_t> index;
  for (size_t i = 0; i < layers.size(); ++i) {
    index[layers[i].result] = i;
    options.observe.push_back(layers[i].result);
  }
  const auto program = compile_for_samples(corrected, source, options);
  std::vector<ShiftErrors> empty;
  for (ShiftedLayer& item : layers) {
    const size_t rank = program->type(item.result).shape.rank();
    item.channel_axis = rank > 1 ? memory_axis(1, rank, program->observed_layout(item.result)) : 0;
    empty.emplace_back(dequant_scales(item.layer->activation.factor->scale, item.layer->weight->scales));
  }
  std::vector<std::vector<ShiftErrors>> by_worker(static_cast<size_t>(workers), empty);
  run_samples({program}, source,
              {.workers = workers, .samples = std::min<int64_t>(samples, source.size()), .label = "searching shifts"},
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& view) {
                const size_t i = index.at(id);
                by_worker[run.worker][i].add(valid_rows(view, run), layers[i].channel_axis);
              },
              {});
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const auto& worker : by_worker) empty[i].merge(worker[i]);
    layers[i].layer->shifts = empty[i].safe();
  }
}

}  // namespace amct

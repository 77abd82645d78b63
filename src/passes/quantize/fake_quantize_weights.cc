#include "passes/quantize/fake_quantize_weights.h"

#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/recurrent_weights.h"

namespace amct {

namespace {

// A layer whose weight is one constant, and what takes its place.
struct Replaced {
  const LayerPlan* layer;
  ValueId weight;
  int channel_axis;
  Tensor fake = {};
};

}  // namespace

Graph fake_quantized_weights(const Graph& graph, const Plan& plan, int workers) {
  Graph result = graph;
  std::vector<Replaced> replaced;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->scales.empty()) continue;
    const NodeId id = result.find_node(layer.name);
    if (!id.valid()) {
      throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have",
                  {.model = graph.info.path, .node = layer.name});
    }
    if (layer.hidden) {
      fake_quantize_recurrent(result, id, layer);
      continue;
    }
    const Node& node = result.node(id);
    const auto& rule = node.row->quant.compute_rule();
    replaced.push_back({&layer, node.input(rule.weight_port), rule.channel_axis_for(result, node)});
  }
  parallel_for(replaced.size(), workers, [&](int, size_t i) {
    const Tensor& before = *result.constant(replaced[i].weight);
    replaced[i].fake =
        when_needed(before, before.dtype(), before.dims(),
                    [plan = *replaced[i].layer->weight, axis = replaced[i].channel_axis](const Tensor& tensor) {
                      return fake_quantized(tensor, plan, axis).cast(tensor.dtype());
                    });
  });
  for (Replaced& item : replaced) result.replace_constant(item.weight, std::move(item.fake));
  return result;
}

}  // namespace amct

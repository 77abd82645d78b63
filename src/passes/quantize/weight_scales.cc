#include "passes/quantize/weight_scales.h"

#include <fmt/core.h>

#include <span>

#include "base/thread_pool.h"
#include "ops/op_row.h"
#include "passes/quantize/arq.h"
#include "passes/quantize/input_channels.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/nuq.h"
#include "passes/quantize/recurrent_weights.h"

namespace amct {

namespace {

Importance importance_of(const Graph& graph, NodeId layer, const WeightPlan& plan) {
  if (plan.input_energy.empty()) return {};
  const InputChannels channels = input_channels(graph, layer);
  AMCT_CHECK(channels.count() == static_cast<int64_t>(plan.input_energy.size()), "an energy for each input channel");
  return [channels, energy = std::span(plan.input_energy)](int64_t element) {
    return static_cast<double>(energy[static_cast<size_t>(channels.of(element))]);
  };
}

void fill_scales(const Graph& graph, LayerPlan& layer) {
  const NodeId id = graph.find_node(layer.name);
  AMCT_CHECK(id.valid(), fmt::format("the plan names layer '{}', which the graph lacks", layer.name));
  const Node& node = graph.node(id);
  if (layer.hidden) return fill_recurrent_scales(graph, node, layer);
  const QuantRule::Compute& rule = node.row->quant.compute_rule();
  const Tensor* weight = graph.constant(node.input(static_cast<size_t>(rule.weight_port)));
  AMCT_CHECK(weight != nullptr, fmt::format("the weight of layer '{}' is not constant", layer.name));
  const Tensor resident = weight->resident();
  const int axis = rule.channel_axis_for(graph, node);
  if (layer.weight->group > 0) {
    layer.weight->scales = arq_group_scales(resident, group_axis(weight->dims(), axis), layer.weight->group,
                                            layer.weight->bits, layer.name);
    return;
  }
  layer.weight->scales = arq_scales(resident, axis, layer.weight->per_channel, layer.weight->bits, layer.name);
  if (layer.weight->steps > 0) {
    layer.weight->clusters = nuq_clusters(resident, *layer.weight, axis, importance_of(graph, id, *layer.weight));
  }
}

}  // namespace

void fill_weight_scales(const Graph& graph, Plan& plan, int workers) {
  parallel_for(plan.layers.size(), workers, [&](int, size_t i) {
    LayerPlan& layer = plan.layers[i];
    if (!layer.quantize || !layer.weight || (!layer.weight->scales.empty() && !layer.hidden)) return;
    fill_scales(graph, layer);
  });
}

}  // namespace amct

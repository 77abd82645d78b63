#include "passes/quantize/fake_quantize_weights.h"

#include "base/error.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/recurrent_weights.h"

namespace amct {

Graph fake_quantized_weights(const Graph& graph, const Plan& plan) {
  Graph result = graph;
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
    const ValueId weight = node.input(rule.weight_port);
    const int axis = rule.channel_axis_for(result, node);
    const Tensor& before = *result.constant(weight);
    result.replace_constant(
        weight, when_needed(before, before.dtype(), before.dims(), [plan = *layer.weight, axis](const Tensor& tensor) {
          return fake_quantized(tensor, plan, axis).cast(tensor.dtype());
        }));
  }
  return result;
}

}  // namespace amct

#include "passes/quantize/input_channels.h"

#include "ops/op_row.h"

namespace amct {

InputChannels input_channels(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto& rule = node.row->quant.compute_rule();
  InputChannels result;
  if (rule.weight_port < 0) return result;
  result.weight = graph.constant(node.input(static_cast<size_t>(rule.weight_port)));
  if (result.weight == nullptr) return result;
  if (result.weight->rank() == 2) {
    result.matrix = true;
    result.input_axis = rule.channel_axis_for(graph, node) == 0 ? 1 : 0;
  } else {
    result.groups = node.attrs.get<int64_t>("group", 1);
  }
  return result;
}

}  // namespace amct

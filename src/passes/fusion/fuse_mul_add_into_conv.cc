#include "passes/fusion/fuse_mul_add_into_conv.h"

#include "passes/fusion/compute_layer.h"
#include "passes/rewrite.h"

namespace amct {

PassReport fuse_mul_add_into_conv(Graph& graph, const PassContext& context) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "add") && !is_op(node, "sub") && !is_op(node, "mul") && !is_op(node, "div")) continue;
    if (node.inputs.size() != 2) continue;
    const bool constant_left = graph.constant(node.input(0)) != nullptr;
    const bool constant_right = graph.constant(node.input(1)) != nullptr;
    if (constant_left == constant_right) continue;
    fold_into_producer(graph, id, node.input(constant_left ? 1 : 0), context, report);
  }
  return report;
}

}  // namespace amct

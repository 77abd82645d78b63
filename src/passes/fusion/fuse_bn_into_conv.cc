#include "passes/fusion/fuse_bn_into_conv.h"

#include "passes/fusion/compute_layer.h"
#include "passes/rewrite.h"

namespace amct {

PassReport fuse_bn_into_conv(Graph& graph, const PassContext& context) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (is_op(node, "batch_norm")) fold_into_producer(graph, id, node.input(0), context, report);
  }
  return report;
}

}  // namespace amct

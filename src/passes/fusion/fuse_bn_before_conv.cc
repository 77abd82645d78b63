#include "passes/fusion/fuse_bn_before_conv.h"

#include <fmt/core.h>

#include "passes/fusion/compute_layer.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// Why the batch norm `id`, whose result the layer reads, cannot be folded into it; empty when it was.
std::string fold(Graph& graph, NodeId id, const Use& use, const PassContext& context) {
  const Node& layer = graph.node(use.node);
  if (context.skip_layers.contains(layer.name)) return "the layer is to be left alone";
  if (use.port != 0) return "it is not the layer's data";
  if (is_op(layer, "gemm") && layer.attrs.get<int64_t>("transA", 0) != 0) return "the layer transposes its data";
  const Shape& shape = graph.value(layer.input(0)).type.shape;
  const auto affine = affine_of(graph, graph.node(id), shape.ranked() ? output_channel_axis(layer, shape.rank()) : 1);
  if (!affine) return "it is no constant map of the layer's input channels";
  const std::string reason = fold_before(graph, use.node, affine->map);
  if (reason.empty()) bypass_node(graph, id, graph.node(id).input(0));
  return reason;
}

}  // namespace

PassReport fuse_bn_before_conv(Graph& graph, const PassContext& context) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "batch_norm")) continue;
    const Use* use = graph.sole_use(node.output());
    if (use == nullptr || !is_compute_layer(graph, graph.node(use->node))) continue;
    const std::string name = node.name;
    const std::string layer = graph.node(use->node).name;
    const std::string reason = fold(graph, id, Use(*use), context);
    if (reason.empty()) {
      report.applied(layer, fmt::format("folded batch_norm '{}' before it", name), name);
    } else {
      report.left_alone(layer, fmt::format("batch_norm '{}' before it is not folded: {}", name, reason));
    }
  }
  return report;
}

}  // namespace amct

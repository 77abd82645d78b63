#include "passes/execution/qdq_operands.h"

#include <cmath>

#include "ops/op_row.h"
#include "ops/quantize_common.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// Scale and zero points of a quantizer; false if they are computed or not in float32.
bool read_parameters(const Graph& graph, const Node& node, Tensor& scales, std::vector<int64_t>& zeros) {
  const Tensor* scale = graph.constant(node.input(1));
  if (scale == nullptr || scale->dtype() != DType::kFloat32 || attr_int(node, "block_size") != 0) return false;
  scales = *scale;
  zeros.assign(static_cast<size_t>(scale->size()), 0);
  if (!node.input(2).valid()) return true;
  const Tensor* zero = graph.constant(node.input(2));
  if (zero == nullptr || zero->size() != scale->size()) return false;
  zeros = zero->to_int64s();
  return true;
}

// The type of a value, from its zero point where the graph does not say.
DType type_of(const Graph& graph, ValueId value, ValueId zero) {
  const DType dtype = graph.value(value).type.dtype;
  if (dtype != DType::kUndefined || !zero.valid()) return dtype;
  return graph.constant(zero) != nullptr ? graph.constant(zero)->dtype() : dtype;
}

// True if quantization limits at least as much as the node (relu, clip) does.
bool implied(const Graph& graph, const Node& node, const Requantizer& q) {
  const IntegerBounds bounds = integer_bounds(q.dtype);
  const double lowest = static_cast<double>(bounds.low - q.zero_point) * q.step;
  const double highest = static_cast<double>(bounds.high - q.zero_point) * q.step;
  if (is_op(node, "relu")) return lowest >= 0;
  const auto [low, high] = clip_bounds(graph, node);
  return low && high && lowest >= *low && highest <= *high;
}

}  // namespace

std::optional<IntegersBehind> integers_behind(const Graph& graph, ValueId value) {
  if (!value.valid()) return std::nullopt;
  const Node* node = graph.producer(value);
  IntegersBehind operand;
  if (node == nullptr || !is_op(*node, "dequantize_linear")) return std::nullopt;
  if (!read_parameters(graph, *node, operand.scales, operand.zeros)) return std::nullopt;
  const DType result = graph.value(value).type.dtype;
  if (result != DType::kFloat32 && result != DType::kUndefined) return std::nullopt;
  operand.node = graph.value(value).producer;
  operand.integers = node->input(0);
  operand.scale = node->input(1);
  operand.zero = node->input(2);
  operand.axis = attr_int(*node, "axis");
  operand.dtype = type_of(graph, operand.integers, operand.zero);
  return operand;
}

std::optional<Requantizer> requantizer_behind(const Graph& graph, ValueId value) {
  Requantizer found;
  for (const Use* use = graph.sole_use(value); use != nullptr && use->port == 0;) {
    const Node& node = graph.node(use->node);
    if (is_op(node, "relu") || is_op(node, "clip")) {
      found.dropped.push_back(use->node);
      use = graph.sole_use(node.output());
      continue;
    }
    Tensor scales;
    std::vector<int64_t> zeros;
    if (!is_op(node, "quantize_linear") || !read_parameters(graph, node, scales, zeros)) return std::nullopt;
    found.node = use->node;
    found.scale = node.input(1);
    found.zero = node.input(2);
    found.dtype = found.zero.valid() ? graph.constant(found.zero)->dtype() : graph.value(node.output()).type.dtype;
    if (scales.size() != 1 || (found.dtype != DType::kInt8 && found.dtype != DType::kUInt8)) return std::nullopt;
    found.step = scales.values<float>()[0];
    found.zero_point = zeros[0];
    for (const NodeId limit : found.dropped) {
      if (!implied(graph, graph.node(limit), found)) return std::nullopt;
    }
    return found;
  }
  return std::nullopt;
}

void erase_unused_quantizers(Graph& graph) {
  const std::vector<NodeId> order = graph.topological_order();
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const Node& node = graph.node(*id);
    if (!is_op(node, "quantize_linear") && !is_op(node, "dequantize_linear")) continue;
    if (graph.value(node.output()).uses.empty() && !graph.is_output(node.output())) graph.erase_node(*id);
  }
}

}  // namespace amct

#include "frontends/onnx/int4_weights.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ops/infer.h"
#include "ops/integer_compute.h"
#include "ops/onnx_types.h"
#include "ops/op_row.h"

namespace amct::onnx_file {
namespace {

constexpr size_t kX = 0;

// Where a layer's input and its weight have the input channels.
struct ChannelAxes {
  size_t x, weight;
};

// Of a layer that multiplies by a weight, of which one of the first two axes has the outputs and the other the inputs.
std::optional<ChannelAxes> channel_axes(const Graph& graph, const Node& node, size_t x_rank, size_t weight_rank) {
  if (node.row->attr("group") != nullptr && attr_int(node, "group") != 1) return std::nullopt;
  const int outputs = node.row->quant.compute_rule().channel_axis_for(graph, node);
  if (outputs > 1 || weight_rank < 2 || x_rank == 0) return std::nullopt;
  return ChannelAxes{weight_rank == 2 ? x_rank - 1 : 1, outputs == 0 ? 1u : 0u};
}

// The constant int8 weight that a layer alone uses, or no value.
ValueId own_int8_weight(const Graph& graph, const Node& node) {
  if (node.is_opaque() || node.row->quant.kind() != QuantRule::Kind::kCompute) return kNoValue;
  const QuantRule::Compute& rule = node.row->quant.compute_rule();
  if (rule.weight_port < 0 || rule.recurrent_port >= 0) return kNoValue;
  const ValueId id = node.input(static_cast<size_t>(rule.weight_port));
  if (!id.valid() || !node.input(kX).valid()) return kNoValue;
  const Tensor* weight = graph.constant(id);
  return weight != nullptr && weight->dtype() == DType::kInt8 && graph.sole_use(id) != nullptr ? id : kNoValue;
}

bool quantizes_for_ascend(const Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](NodeId id) { return graph.node(id).op == "ascend_quant"; });
}

}  // namespace

Tensor unpack_int4(const Tensor& packed, size_t axis) {
  AMCT_CHECK(packed.dtype() == DType::kInt8 && axis < packed.rank(), "4-bit weights are packed along an axis of int8");
  Dims dims = packed.dims();
  dims[axis] *= 2;
  size_t inner = 1;
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= static_cast<size_t>(dims[i]);
  Tensor result = Tensor::allocate(DType::kInt8, std::move(dims));
  const auto from = packed.values<int8_t>();
  const auto to = result.mutable_values<int8_t>();
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t low = i / inner * 2 * inner + i % inner;
    to[low] = static_cast<int8_t>(static_cast<int8_t>(from[i] << 4) >> 4);
    to[low + inner] = static_cast<int8_t>(from[i] >> 4);
  }
  return result;
}

void unpack_int4_weights(Graph& graph) {
  if (!quantizes_for_ascend(graph)) return;
  // The shape rules follow the activations without the extents that may be halved.
  std::unordered_map<ValueId, TensorType> open;
  std::vector<std::pair<NodeId, ValueId>> layers;  // and their weights
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const ValueId weight = own_int8_weight(graph, node);
    if (!weight.valid()) continue;
    TensorType type = graph.constant(weight)->type();
    const auto axes = channel_axes(graph, node, type.shape.rank(), type.shape.rank());
    if (!axes) continue;
    type.shape[axes->weight] = Dim();
    open.emplace(weight, std::move(type));
    layers.emplace_back(id, weight);
  }
  if (layers.empty()) return;
  const InferredTypes inferred = infer_types(graph, open);
  for (const auto& [id, weight] : layers) {
    const Node& node = graph.node(id);
    const TensorType& x = inferred.types[node.input(kX).index];
    if (!is_integer_compute(x.dtype) || !x.shape.ranked()) continue;
    const Tensor& stored = *graph.constant(weight);
    const auto axes = channel_axes(graph, node, x.shape.rank(), stored.rank());
    if (!axes || axes->x >= x.shape.rank() || !x.shape[axes->x].is_fixed()) continue;
    if (x.shape[axes->x].extent() != 2 * stored.dims()[axes->weight] || stored.size() == 0) continue;
    graph.replace_constant(weight, unpack_int4(stored, axes->weight));
  }
}

void take_casts_off_int4_biases(Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    if (!graph.alive(id)) continue;
    const Node& node = graph.node(id);
    const Node* quantizer = node.input(kX).valid() ? graph.producer(node.input(kX)) : nullptr;
    if (node.is_opaque() || node.row->quant.kind() != QuantRule::Kind::kCompute || quantizer == nullptr) continue;
    if (quantizer->op != "ascend_quant" || attr_string(*quantizer, "dst_type") != "INT4") continue;
    const int port = node.row->quant.compute_rule().bias_port;
    const ValueId bias = port >= 0 ? node.input(static_cast<size_t>(port)) : kNoValue;
    const Node* cast = bias.valid() ? graph.producer(bias) : nullptr;
    if (cast == nullptr || cast->op != "cast" || attr_int(*cast, "to") != onnx_code(DType::kFloat32)) continue;
    const Tensor* integers = graph.constant(cast->input(0));
    if (integers == nullptr || integers->dtype() != DType::kInt32) continue;
    const NodeId gone = graph.value(bias).producer;
    graph.set_input(id, static_cast<size_t>(port), cast->input(0));
    if (graph.value(bias).uses.empty() && !graph.is_output(bias)) graph.erase_node(gone);
  }
}

}  // namespace amct::onnx_file

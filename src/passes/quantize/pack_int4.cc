#include "passes/quantize/pack_int4.h"

#include <fmt/core.h>

#include "base/error.h"
#include "ops/infer.h"
#include "ops/onnx_types.h"
#include "ops/op_row.h"
#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

// Where the layer's weight has its input channels; rows keep convolutions' weights as (out, in, spatial…).
size_t input_axis(const Graph& graph, const Node& node, const Tensor& weight) {
  const int channels = node.row->quant.compute_rule().channel_axis_for(graph, node);
  return channels == 0 ? 1 : weight.rank() - 2;
}

std::string reason_against(const Graph& graph, const Node& node, const Tensor& weight) {
  if (node.attrs.get<int64_t>("group", 1) > 1) return "it is a grouped convolution";
  if (node.op == "matmul" && weight.rank() != 2) return "its weight is no matrix";
  const Shape& x = graph.value(node.input(0)).type.shape;
  const size_t axis = node.op == "matmul" || node.op == "gemm" ? x.rank() - 1 : 1;
  if (!x.ranked() || axis >= x.rank() || !x[axis].is_fixed()) return "the extent of its input is open";
  return weight.dims()[input_axis(graph, node, weight)] % 2 != 0 ? "it has an odd number of inputs" : "";
}

}  // namespace

Tensor packed_int4(const Tensor& integers, size_t axis) {
  AMCT_CHECK(integers.dtype() == DType::kInt8 && axis < integers.rank() && integers.dims()[axis] % 2 == 0,
             "4-bit weights are packed along an even axis of int8");
  Dims dims = integers.dims();
  dims[axis] /= 2;
  size_t inner = 1;
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= static_cast<size_t>(dims[i]);
  Tensor result = Tensor::allocate(DType::kInt8, std::move(dims));
  const auto from = integers.values<int8_t>();
  const auto to = result.mutable_values<int8_t>();
  for (size_t i = 0; i < to.size(); ++i) {
    const size_t low = i / inner * 2 * inner + i % inner;
    to[i] = static_cast<int8_t>((from[low] & 0xf) | (from[low + inner] & 0xf) << 4);
  }
  return result;
}

void cast_int4_biases(Graph& deploy, const Plan& plan) {
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || layer.activation.bits != 4) continue;
    const NodeId id = deploy.find_node(layer.name);
    const int port = deploy.node(id).row->quant.compute_rule().bias_port;
    if (port < 0) continue;
    const ValueId bias = deploy.node(id).input(static_cast<size_t>(port));
    if (!bias.valid() || deploy.constant(bias) == nullptr || deploy.constant(bias)->dtype() != DType::kInt32) continue;
    const std::string name = layer.name + ".bias_cast";
    const NodeId cast =
        add_op(deploy, name, "cast", {bias}, {{"to", int64_t{onnx_code(DType::kFloat32)}}}, name + ".output0");
    deploy.value(deploy.node(cast).output()).type = {DType::kFloat32, deploy.value(bias).type.shape};
    deploy.set_input(id, static_cast<size_t>(port), deploy.node(cast).output());
  }
}

std::vector<std::string> pack_int4_weights(Graph& deploy, const Plan& plan) {
  std::vector<std::string> lines;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->bits != 4 || layer.weight->group > 0) continue;
    const Node& node = deploy.node(deploy.find_node(layer.name));
    const ValueId id = node.input(static_cast<size_t>(node.row->quant.compute_rule().weight_port));
    const Tensor& weight = *deploy.constant(id);
    if (const std::string reason = reason_against(deploy, node, weight); !reason.empty()) {
      lines.push_back(fmt::format("{}: its 4-bit weights take a byte each: {}", layer.name, reason));
      continue;
    }
    const size_t axis = input_axis(deploy, node, weight);
    Dims dims = weight.dims();
    dims[axis] /= 2;
    deploy.replace_constant(id, when_needed(weight, DType::kInt8, dims, [axis](const Tensor& tensor) {
                              return packed_int4(tensor.resident(), axis);
                            }));
  }
  return lines;
}

}  // namespace amct

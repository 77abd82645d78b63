#include "passes/quantize/dmq.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/op_row.h"
#include "passes/quantize/bias_correction.h"
#include "passes/quantize/input_channels.h"
#include "passes/quantize/plan_layers.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr double kLeast = std::numeric_limits<float>::epsilon();

NodeId find_layer(const Graph& graph, const LayerPlan& layer) {
  const NodeId id = graph.find_node(layer.name);
  if (!id.valid()) {
    throw Error(ErrorCode::kConfig, "the plan names a layer that the model does not have",
                {.model = graph.info.path, .node = layer.name});
  }
  return id;
}

void scale_weight(Graph& graph, NodeId id, const InputChannels& channels, const std::vector<float>& factors) {
  Tensor scaled = channels.weight->cast(DType::kFloat32);
  Tensor result = Tensor::copy_of(scaled.view());
  const auto values = result.mutable_values<float>();
  for (int64_t i = 0; i < result.size(); ++i) values[i] *= factors[static_cast<size_t>(channels.of(i))];
  const auto port = static_cast<size_t>(graph.node(id).row->quant.compute_rule().weight_port);
  const DType dtype = channels.weight->dtype();
  const ValueId old = graph.node(id).input(port);
  const ValueId fresh = graph.add_constant(graph.value(old).name + ".balanced", result.cast(dtype));
  graph.value(fresh).origin = graph.value(old).origin;
  replace_input(graph, id, port, fresh);
}

// `<layer>.mul`: the layer's input divided by its factors.
ValueId insert_mul(Graph& graph, const LayerPlan& layer, NodeId id) {
  const ValueId input = graph.node(id).input(0);
  const TensorType type = graph.value(input).type;
  const size_t axis = input_channel_axis(graph, layer);
  Dims dims(type.shape.ranked() ? type.shape.rank() : 2, 1);
  dims[axis] = static_cast<int64_t>(layer.balance_factors.size());
  std::vector<float> inverse;
  for (const float factor : layer.balance_factors) inverse.push_back(1 / factor);
  const ValueId constant =
      graph.add_constant(layer.name + ".tensor_balance_factor", Tensor::of<float>(dims, inverse).cast(type.dtype));
  const NodeId mul = add_op(graph, layer.name + ".mul", "mul", {input, constant}, {}, layer.name + ".mul.output0");
  graph.value(graph.node(mul).output()).type = type;
  graph.set_input(id, 0, graph.node(mul).output());
  return graph.node(mul).output();
}

bool passes_positive_factor(const Node& node) {
  return node.op == "relu" || node.op == "leaky_relu" || node.op == "max_pool" || node.op == "identity";
}

// Multiplies the output channels of a layer by `factors`; false if it has no constant weight with that many.
bool scale_outputs(Graph& graph, NodeId id, std::span<const float> factors) {
  const Node& node = graph.node(id);
  if (node.is_opaque() || node.row->quant.kind() != QuantRule::Kind::kCompute) return false;
  const auto& rule = node.row->quant.compute_rule();
  if (rule.weight_port < 0 || output_channels(graph, id) != static_cast<int64_t>(factors.size())) return false;
  const auto port = static_cast<size_t>(rule.weight_port);
  const ValueId bias = node.input(static_cast<size_t>(std::max(rule.bias_port, 0)));
  const bool has_bias = rule.bias_port >= 0 && bias.valid();
  if (graph.value(node.input(port)).uses.size() != 1) return false;
  if (has_bias && (graph.constant(bias) == nullptr || graph.constant(bias)->size() != output_channels(graph, id) ||
                   graph.value(bias).uses.size() != 1)) {
    return false;
  }
  const Tensor& weight = *graph.constant(node.input(port));
  const auto axis = static_cast<size_t>(rule.channel_axis_for(graph, node));
  int64_t inner = 1;
  for (size_t i = axis + 1; i < weight.rank(); ++i) inner *= weight.dims()[i];
  Tensor scaled = Tensor::copy_of(weight.cast(DType::kFloat32).view());
  const auto values = scaled.mutable_values<float>();
  const auto channels = static_cast<int64_t>(factors.size());
  for (int64_t i = 0; i < scaled.size(); ++i) values[i] *= factors[static_cast<size_t>(i / inner % channels)];
  graph.replace_constant(node.input(port), scaled.cast(weight.dtype()));
  if (has_bias) {
    Tensor moved = Tensor::copy_of(graph.constant(bias)->cast(DType::kFloat32).view());
    const auto numbers = moved.mutable_values<float>();
    for (size_t c = 0; c < numbers.size(); ++c) numbers[c] *= factors[c];
    graph.replace_constant(bias, moved.cast(graph.constant(bias)->dtype()));
  }
  return true;
}

}  // namespace

std::vector<float> balance_factors(std::span<const float> activation_max, std::span<const float> weight_max,
                                   double strength) {
  AMCT_CHECK(activation_max.size() == weight_max.size(), "one maximum per channel of either");
  const size_t channels = weight_max.size();
  const std::vector<float> ones(channels, 1.0f);
  if (channels == 0 || std::ranges::max(activation_max) < kLeast || std::ranges::max(weight_max) < kLeast) return ones;
  std::vector<double> factors(channels, 0.0);
  double activation = 0, weight = 0;  // the largest ones after balancing
  for (size_t c = 0; c < channels; ++c) {
    const double a = activation_max[c], w = weight_max[c];
    if (a < kLeast || w < kLeast) continue;
    factors[c] = std::pow(a, strength) / std::pow(w, 1 - strength);
    activation = std::max(activation, a / factors[c]);
    weight = std::max(weight, w * factors[c]);
  }
  if (activation < kLeast || weight < kLeast) return ones;
  std::vector<float> result;
  for (size_t c = 0; c < channels; ++c) {
    const bool no_activation = activation_max[c] < kLeast, no_weight = weight_max[c] < kLeast;
    double factor = factors[c];
    if (no_activation && no_weight) {
      factor = 1;
    } else if (no_activation) {
      factor = weight / weight_max[c];
    } else if (no_weight) {
      factor = activation_max[c] / activation;
    }
    result.push_back(static_cast<float>(factor));
  }
  return result;
}

std::vector<float> weight_channel_max(const Graph& graph, const LayerPlan& layer) {
  const InputChannels channels = input_channels(graph, find_layer(graph, layer));
  if (channels.weight == nullptr) return {};
  const Tensor weight = channels.weight->cast(DType::kFloat32);
  const auto values = weight.values<float>();
  std::vector<float> result(static_cast<size_t>(channels.count()), 0.0f);
  for (int64_t i = 0; i < weight.size(); ++i) {
    float& most = result[static_cast<size_t>(channels.of(i))];
    most = std::max(most, std::abs(values[i]));
  }
  return result;
}

void apply_balance(Graph& graph, Plan& plan) {
  Faults faults;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || layer.balance_factors.empty()) continue;
    const InputChannels channels = input_channels(graph, find_layer(graph, layer));
    const Where where{.model = graph.info.path, .node = layer.name, .op = layer.op};
    if (channels.weight == nullptr || channels.count() != static_cast<int64_t>(layer.balance_factors.size())) {
      faults.add(Error(ErrorCode::kConfig,
                       fmt::format("{} balance factors for {} input channels", layer.balance_factors.size(),
                                   channels.weight == nullptr ? 0 : channels.count()),
                       where));
    }
    for (const float factor : layer.balance_factors) {
      if (factor > kLeast && factor < 1 / kLeast) continue;
      faults.add(Error(ErrorCode::kNumeric, fmt::format("balance factor {} is out of range", factor), where,
                       "do not balance the layer"));
      break;
    }
  }
  faults.throw_if_any();
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || layer.balance_factors.empty()) continue;
    const NodeId id = find_layer(graph, layer);
    scale_weight(graph, id, input_channels(graph, id), layer.balance_factors);
    layer.tensor = graph.value(insert_mul(graph, layer, id)).name;
  }
}

std::vector<std::string> fold_balance(Graph& graph, Plan& plan) {
  std::vector<std::string> folded;
  for (LayerPlan& layer : plan.layers) {
    if (!layer.quantize || layer.balance_factors.empty()) continue;
    const NodeId mul = graph.find_node(layer.name + ".mul");
    if (!mul.valid()) continue;
    const ValueId balanced = graph.node(mul).input(0);
    ValueId value = balanced;
    const Node* producer = graph.producer(value);
    while (producer != nullptr && passes_positive_factor(*producer) && graph.sole_use(value) != nullptr) {
      value = producer->input(0);
      producer = graph.producer(value);
    }
    if (producer == nullptr || graph.sole_use(value) == nullptr) continue;
    std::vector<float> inverse;
    for (const float factor : layer.balance_factors) inverse.push_back(1 / factor);
    if (!scale_outputs(graph, graph.value(value).producer, inverse)) continue;
    graph.replace_uses(graph.node(mul).output(), balanced);
    graph.erase_node(mul);
    layer.tensor = graph.value(balanced).name;
    folded.push_back(layer.name);
  }
  return folded;
}

}  // namespace amct

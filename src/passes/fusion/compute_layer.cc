#include "passes/fusion/compute_layer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ir/dispatch.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr size_t kWeightPort = 1;
constexpr size_t kBiasPort = 2;

bool is_convolution(const Node& node) { return is_op(node, "conv") || is_op(node, "conv_transpose"); }

// The weight seen as (outer, first axis, middle, second axis, inner), and which of the two axes are outputs.
struct WeightView {
  Tensor weight;
  size_t out_axis = 0;
  size_t in_axis = 1;
  int64_t groups = 1;

  int64_t outputs() const { return weight.dims()[out_axis]; }
  int64_t inputs() const { return weight.dims()[in_axis] * groups; }
};

struct Layer {
  WeightView view;
  std::vector<double> bias;  // one per output channel; empty = none
  double alpha = 1;          // factor of the product
  bool takes_bias = true;
};

// Bias numbers times `factor`, one per channel; nullopt if the tensor has more numbers.
std::optional<std::vector<double>> bias_per_channel(const Tensor& tensor, int64_t channels, double factor) {
  std::vector<double> bias = tensor.to_doubles();
  const bool row = tensor.rank() == 0 || tensor.dims().back() == tensor.size();
  if (!row || (tensor.size() != 1 && tensor.size() != channels)) return std::nullopt;
  for (double& value : bias) value *= factor;
  bias.resize(static_cast<size_t>(channels), bias.empty() ? 0 : bias[0]);
  return bias;
}

// Reads the layer; `reason` says why it cannot be rewritten.
std::optional<Layer> read_layer(const Graph& graph, const Node& node, std::string& reason) {
  Layer layer;
  const Tensor* weight = graph.constant(node.input(kWeightPort));
  if (weight == nullptr || !is_floating(weight->dtype()) || bit_width(weight->dtype()) < 16) {
    reason = weight == nullptr ? "its weight is computed, not constant" : "its weight is not floating point";
    return std::nullopt;
  }
  WeightView& view = layer.view;
  view.weight = *weight;
  double beta = 1;
  if (is_convolution(node)) {
    if (node.attrs.get<std::string>("weight_layout", "out_in") != "out_in") {
      reason = "its weight was computed when the model was read";
      return std::nullopt;
    }
    view.groups = node.attrs.get<int64_t>("group", 1);
  } else {
    view.out_axis = weight->rank() - 1;
    view.in_axis = weight->rank() - 2;
    layer.takes_bias = is_op(node, "gemm");
    if (layer.takes_bias) {
      if (node.attrs.get<int64_t>("transB", 0) != 0) std::swap(view.out_axis, view.in_axis);
      layer.alpha = node.attrs.get<double>("alpha", 1);
      beta = node.attrs.get<double>("beta", 1);
    }
  }
  if (view.groups <= 0 || view.outputs() <= 0 || view.outputs() % view.groups != 0) {
    reason = "its group does not divide its output channels";
    return std::nullopt;
  }
  if (layer.takes_bias && node.input(kBiasPort).valid()) {
    const Tensor* bias = graph.constant(node.input(kBiasPort));
    if (bias == nullptr) {
      reason = "its bias is computed, not constant";
      return std::nullopt;
    }
    const auto numbers = bias_per_channel(*bias, view.outputs(), beta);
    if (!numbers) {
      reason = "its bias varies within a channel";
      return std::nullopt;
    }
    layer.bias = *numbers;
  }
  return layer;
}

bool is_finite(const Tensor& tensor) {
  return visit_numeric(tensor.dtype(), [&]<typename T>(Tag<T>) {
    const auto values = tensor.values<T>();
    return std::all_of(values.begin(), values.end(), [](const T& value) {
      return std::isfinite(static_cast<double>(static_cast<Compute<T>>(value)));
    });
  });
}

// Every weight times factor(o, i), with o the output and i the input channel of the whole layer.
template <typename Visit>
void for_each_weight(const WeightView& view, Visit&& visit) {
  const Dims& dims = view.weight.dims();
  const size_t first = std::min(view.out_axis, view.in_axis);
  int64_t outer = 1;
  int64_t inner = 1;
  for (size_t i = 0; i < first; ++i) outer *= dims[i];
  for (size_t i = first + 2; i < dims.size(); ++i) inner *= dims[i];
  const bool out_first = view.out_axis < view.in_axis;
  const int64_t group_outputs = view.outputs() / view.groups;
  size_t index = 0;
  for (int64_t n = 0; n < outer; ++n) {
    for (int64_t a = 0; a < dims[first]; ++a) {
      for (int64_t b = 0; b < dims[first + 1]; ++b) {
        const int64_t o = out_first ? a : b;
        const int64_t i = (out_first ? b : a) + o / group_outputs * dims[view.in_axis];
        for (int64_t k = 0; k < inner; ++k) visit(index++, static_cast<size_t>(o), static_cast<size_t>(i));
      }
    }
  }
}

template <typename Factor>
Tensor scaled_weight(const WeightView& view, Factor&& factor) {
  Tensor result = Tensor::allocate(view.weight.dtype(), view.weight.dims());
  visit_numeric(result.dtype(), [&]<typename T>(Tag<T>) {
    const auto from = view.weight.values<T>();
    const auto to = result.mutable_values<T>();
    for_each_weight(view, [&](size_t index, size_t o, size_t i) {
      const auto value = static_cast<double>(static_cast<Compute<T>>(from[index])) * factor(o, i);
      to[index] = static_cast<T>(static_cast<Compute<T>>(value));
    });
  });
  return result;
}

// Writes weight and bias to the node; a reason if they are not finite.
std::string write_layer(Graph& graph, NodeId id, const Layer& layer, const std::optional<Tensor>& weight) {
  Tensor bias;
  if (!layer.bias.empty()) {
    bias = Tensor::of<double>({layer.view.outputs()}, layer.bias).cast(layer.view.weight.dtype());
  }
  if ((weight && !is_finite(*weight)) || (bias && !is_finite(bias))) {
    return "the folded weights or biases would not be finite";
  }
  const std::string name = graph.node(id).name;
  if (weight) set_constant_input(graph, id, kWeightPort, *weight, name + ".weight");
  if (bias) {
    set_constant_input(graph, id, kBiasPort, bias, name + ".bias");
    if (graph.node(id).attrs.has("beta")) graph.node(id).attrs.set("beta", 1.0);
  }
  return {};
}

bool has_padding(const Node& node) {
  const auto auto_pad = node.attrs.get<std::string>("auto_pad", "NOTSET");
  const auto pads = node.attrs.get<std::vector<int64_t>>("pads", {});
  if (auto_pad == "VALID") return false;
  return auto_pad != "NOTSET" || std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
}

bool all_ones(const std::vector<double>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](double value) { return value == 1; });
}

}  // namespace

bool is_compute_layer(const Graph& graph, const Node& node) {
  if (is_convolution(node)) return true;
  const Tensor* weight = graph.constant(node.input(kWeightPort));
  return (is_op(node, "gemm") || is_op(node, "matmul")) && weight != nullptr && weight->rank() >= 2;
}

size_t output_channel_axis(const Node& layer, size_t rank) { return is_convolution(layer) || rank == 0 ? 1 : rank - 1; }

std::string fold_after(Graph& graph, NodeId id, const ChannelAffine& map) {
  std::string reason;
  auto layer = read_layer(graph, graph.node(id), reason);
  if (!layer) return reason;
  const auto spread = map.spread(layer->view.outputs());
  if (!spread) return fmt::format("it has {} output channels, not {}", layer->view.outputs(), map.scale.size());
  if (!spread->is_finite()) return "the factors to fold are not finite";
  if (!layer->takes_bias && spread->shifts()) return "a matmul has no bias";
  if (layer->bias.empty() && spread->shifts()) layer->bias.assign(spread->scale.size(), 0);
  for (size_t c = 0; c < layer->bias.size(); ++c) {
    layer->bias[c] = layer->bias[c] * spread->scale[c] + spread->shift[c];
  }
  std::optional<Tensor> weight;
  if (!all_ones(spread->scale)) {
    weight = scaled_weight(layer->view, [&](size_t o, size_t) { return spread->scale[o]; });
  }
  return write_layer(graph, id, *layer, weight);
}

std::string fold_before(Graph& graph, NodeId id, const ChannelAffine& map) {
  std::string reason;
  const Node& node = graph.node(id);
  auto layer = read_layer(graph, node, reason);
  if (!layer) return reason;
  const auto spread = map.spread(layer->view.inputs());
  if (!spread) return fmt::format("it has {} input channels, not {}", layer->view.inputs(), map.scale.size());
  if (!spread->is_finite()) return "the factors to fold are not finite";
  if (spread->shifts()) {
    if (!layer->takes_bias) return "a matmul has no bias";
    if (is_op(node, "conv_transpose")) return "a transposed convolution does not sum all kernel elements everywhere";
    if (is_convolution(node) && has_padding(node)) return "its padding is zero only before the shift";
    if (layer->bias.empty()) layer->bias.assign(static_cast<size_t>(layer->view.outputs()), 0);
    visit_numeric(layer->view.weight.dtype(), [&]<typename T>(Tag<T>) {
      const auto weights = layer->view.weight.values<T>();
      for_each_weight(layer->view, [&](size_t index, size_t o, size_t i) {
        const auto value = static_cast<double>(static_cast<Compute<T>>(weights[index]));
        layer->bias[o] += layer->alpha * value * spread->shift[i];
      });
    });
  }
  std::optional<Tensor> weight;
  if (!all_ones(spread->scale)) {
    weight = scaled_weight(layer->view, [&](size_t, size_t i) { return spread->scale[i]; });
  }
  return write_layer(graph, id, *layer, weight);
}

bool fold_into_producer(Graph& graph, NodeId follower, ValueId data, const PassContext& context, PassReport& report) {
  const Node* layer = graph.producer(data);
  if (layer == nullptr || !is_compute_layer(graph, *layer)) return false;
  const Node& node = graph.node(follower);
  const std::string key = layer->name;
  const std::string name = node.name;
  const std::string what = fmt::format("{} '{}'", node.op, name);
  const auto refuse = [&](std::string_view why) {
    report.left_alone(key, fmt::format("{} is not folded into it: {}", what, why));
    return false;
  };
  if (context.skip_layers.contains(key)) return refuse("the layer is to be left alone");
  if (graph.sole_use(data) == nullptr) return refuse("its result has other uses");
  const Shape& shape = graph.value(data).type.shape;
  const size_t rank = shape.ranked() ? shape.rank() : graph.constant(layer->input(kWeightPort))->rank();
  const auto affine = affine_of(graph, node, output_channel_axis(*layer, rank));
  if (!affine || node.input(affine->data_port) != data) return refuse("it is no constant map of the output channels");
  const std::string why = fold_after(graph, graph.value(data).producer, affine->map);
  if (!why.empty()) return refuse(why);
  graph.replace_uses(node.output(), data);
  graph.erase_node(follower);
  report.applied(key, fmt::format("folded {}", what), name);
  return true;
}

}  // namespace amct

#include "passes/execution/fuse_qdq_into_integer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/integer_compute.h"
#include "ops/op_row.h"
#include "passes/execution/qdq_operands.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// A layer with its operands found behind dequantizations.
struct Layer {
  NodeId id;
  IntegersBehind x, w;
  std::optional<Tensor> bias;  // int32
  std::vector<float> scales;   // of the sums: x_scale * w_scale, one or one per output channel
  std::optional<Requantizer> behind;
};

ValueId zero_or_default(Graph& graph, ValueId zero, DType dtype, int64_t count, std::string_view name) {
  if (zero.valid()) return zero;
  const Dims dims = count == 1 ? Dims{} : Dims{count};
  return graph.add_constant(name, Tensor::of<int64_t>(dims, std::vector<int64_t>(count, 0)).cast(dtype));
}

// Points what read the quantizer at the node's own output, and removes the quantizer and the limits before it.
void take_over(Graph& graph, NodeId id, const Requantizer& behind) {
  const ValueId result = graph.node(behind.node).output();
  const ValueId own = graph.node(id).output();
  graph.replace_uses(result, own);
  graph.erase_node(behind.node);
  for (auto limit = behind.dropped.rbegin(); limit != behind.dropped.rend(); ++limit) graph.erase_node(*limit);
  graph.value(own).type.dtype = behind.dtype;
}

// The axis of the weight that holds output channels, or -1.
int64_t channel_axis(const Graph& graph, const Node& node) {
  const Tensor* w = graph.constant(integers_behind(graph, node.input(1))->integers);
  if (is_op(node, "conv")) return 0;
  if (is_op(node, "gemm")) return attr_int(node, "transB") != 0 ? 0 : 1;
  return w != nullptr && w->rank() == 2 ? 1 : -1;
}

std::string read_weights(const Graph& graph, const Node& node, Layer& layer) {
  const auto x = integers_behind(graph, node.input(0));
  if (!x || !x->per_tensor() || !x->is_8_bit()) return "its input is not an 8-bit integer of one scale";
  const auto w = integers_behind(graph, node.input(1));
  if (!w || !w->is_8_bit() || graph.constant(w->integers) == nullptr) return "its weights are not constant integers";
  const Tensor& weights = *graph.constant(w->integers);
  const int64_t axis = w->axis < 0 ? w->axis + static_cast<int64_t>(weights.rank()) : w->axis;
  if (!w->per_tensor() && axis != channel_axis(graph, node)) return "its weights have scales along another axis";
  layer.x = *x;
  layer.w = *w;
  for (const float scale : w->scales.values<float>()) layer.scales.push_back(x->scales.values<float>()[0] * scale);
  return {};
}

// A float bias in steps of the products, one value per channel; nothing if it has another shape or leaves 32 bits.
std::optional<Tensor> rounded_bias(const Tensor& bias, const std::vector<float>& scales) {
  const auto last = static_cast<size_t>(bias.rank() == 0 ? 1 : bias.dims().back());
  if (bias.dtype() != DType::kFloat32 || static_cast<size_t>(bias.size()) != last) return std::nullopt;
  if (scales.size() != 1 && scales.size() != last) return std::nullopt;
  std::vector<int32_t> steps;
  for (const float value : bias.values<float>()) {
    const double step = std::nearbyint(double{value} / scales[scales.size() == 1 ? 0 : steps.size()]);
    if (!(std::abs(step) <= std::numeric_limits<int32_t>::max())) return std::nullopt;
    steps.push_back(static_cast<int32_t>(step));
  }
  return Tensor::of<int32_t>({static_cast<int64_t>(last)}, steps);
}

std::string read_bias(const Graph& graph, const Node& node, Layer& layer) {
  if (!node.input(2).valid()) return {};
  if (const Tensor* floats = graph.constant(node.input(2))) {
    layer.bias = rounded_bias(*floats, layer.scales);
    return layer.bias ? "" : "its float bias does not have one value per channel within 32 bits";
  }
  const auto bias = integers_behind(graph, node.input(2));
  if (!bias || bias->dtype != DType::kInt32 || graph.constant(bias->integers) == nullptr) {
    return "its bias is not constant";
  }
  if (std::any_of(bias->zeros.begin(), bias->zeros.end(), [](int64_t zero) { return zero != 0; })) {
    return "its bias has a zero point";
  }
  const auto own = bias->scales.values<float>();
  const size_t count = std::max(own.size(), layer.scales.size());
  for (size_t i = 0; i < count; ++i) {
    const float expected = layer.scales[layer.scales.size() == 1 ? 0 : i], scale = own[own.size() == 1 ? 0 : i];
    const bool fits = (own.size() == 1 || layer.scales.size() == 1 || own.size() == layer.scales.size()) &&
                      std::abs(scale - expected) <= 1e-4f * std::abs(expected);
    if (!fits) return "the scale of its bias is not that of its products";
  }
  layer.bias = *graph.constant(bias->integers);
  return {};
}

bool is_plain_gemm(const Node& node) {
  return attr_int(node, "transA") == 0 && attr_float(node, "alpha") == 1 && attr_float(node, "beta") == 1;
}

// True if no input can make the sums of an output channel leave 32 bits: sum |w| * 255 + |bias|.
bool sums_fit(const Graph& graph, const Node& node, const Layer& layer) {
  const Tensor& w = *graph.constant(layer.w.integers);
  const int64_t axis = channel_axis(graph, node);
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis + 1); axis >= 0 && i < w.rank(); ++i) inner *= w.dims()[i];
  const int64_t channels = axis >= 0 ? w.dims()[static_cast<size_t>(axis)] : 1;
  std::vector<int64_t> most(static_cast<size_t>(channels), 0);
  const std::vector<int64_t> weights = w.to_int64s();
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / inner % channels);
    most[channel] += 255 * std::abs(weights[i] - layer.w.zeros[layer.w.per_tensor() ? 0 : channel]);
  }
  const std::vector<int64_t> bias = layer.bias ? layer.bias->to_int64s() : std::vector<int64_t>();
  for (size_t c = 0; c < most.size(); ++c) {
    const int64_t added = bias.empty() ? 0 : std::abs(bias[bias.size() == 1 ? 0 : c]);
    if (most[c] + added > std::numeric_limits<int32_t>::max()) return false;
  }
  return true;
}

// qlinear_conv and qlinear_matmul: operands with their scales and zero points.
void become_quantized(Graph& graph, const Layer& layer, std::string_view op) {
  const Node& node = graph.node(layer.id);
  const std::string name = node.name;
  Attrs attrs = node.attrs;
  attrs.erase("x_offset");
  const auto zero = [&](ValueId id, DType dtype, int64_t count, const char* what) {
    return zero_or_default(graph, id, dtype, count, fmt::format("{}.{}", name, what));
  };
  std::vector<ValueId> inputs = {layer.x.integers,
                                 layer.x.scale,
                                 zero(layer.x.zero, layer.x.dtype, 1, "x_zero"),
                                 layer.w.integers,
                                 layer.w.scale,
                                 zero(layer.w.zero, layer.w.dtype, layer.w.scales.size(), "w_zero"),
                                 layer.behind->scale,
                                 zero(layer.behind->zero, layer.behind->dtype, 1, "y_zero")};
  if (layer.bias) inputs.push_back(graph.add_constant(name + ".bias", *layer.bias));
  graph.set_op(layer.id, op, &op_table().get(op), std::move(attrs));
  graph.set_inputs(layer.id, std::move(inputs));
  take_over(graph, layer.id, *layer.behind);
}

// The same layer on integers, and a dequantization of its sums.
std::string become_integer(Graph& graph, const Layer& layer) {
  const Tensor& w = *graph.constant(layer.w.integers);
  const int64_t axis = channel_axis(graph, graph.node(layer.id));
  const int64_t depth = w.size() / std::max<int64_t>(axis >= 0 ? w.dims()[static_cast<size_t>(axis)] : 1, 1);
  const Tensor* bias = layer.bias ? &*layer.bias : nullptr;
  if (integer_sum_type(layer.x.dtype, depth, bias != nullptr, bias) != DType::kInt32) return "its sums need 64 bits";
  if (layer.w.dtype != DType::kInt8 ||
      std::any_of(layer.w.zeros.begin(), layer.w.zeros.end(), [](int64_t z) { return z != 0; })) {
    return "its weights have zero points, and its result is not quantized";
  }
  const Node& node = graph.node(layer.id);
  const Shape& shape = graph.value(node.output()).type.shape;
  const bool columns = is_op(node, "matmul") && !(shape.ranked() && shape.rank() == 2);
  if (columns && layer.scales.size() > 1) return "each column has its scale, and its result is not quantized";
  const std::string name = node.name;
  std::vector<ValueId> inputs = {layer.x.integers, layer.w.integers};
  if (bias != nullptr) inputs.push_back(graph.add_constant(name + ".bias", *bias));
  graph.set_inputs(layer.id, std::move(inputs));
  if (layer.x.zeros[0] != 0) graph.node(layer.id).attrs.set("x_offset", layer.x.zeros[0]);
  const Dims dims = layer.scales.size() == 1 ? Dims{} : Dims{static_cast<int64_t>(layer.scales.size())};
  const ValueId scale = graph.add_constant(name + ".scale", Tensor::of<float>(dims, layer.scales));
  const ValueId sums = graph.node(layer.id).output();
  const NodeId back = add_op(graph, name + ".dequantize", "dequantize_linear", {sums, scale}, {{"axis", int64_t{1}}},
                             graph.value(sums).name + ".float");
  graph.replace_uses(sums, graph.node(back).output());
  graph.set_input(back, 0, sums);
  graph.value(graph.node(back).output()).type = graph.value(sums).type;
  graph.value(sums).type.dtype = DType::kInt32;
  return {};
}

// Why a conv, gemm or matmul stays as it is; empty when it does not.
std::string fuse_layer(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Layer layer{.id = id};
  std::string reason = read_weights(graph, node, layer);
  if (reason.empty()) reason = read_bias(graph, node, layer);
  if (reason.empty() && !sums_fit(graph, node, layer)) reason = "its sums could leave 32 bits";
  if (reason.empty() && is_op(node, "gemm") && !is_plain_gemm(node)) reason = "it has factors or a transposed input";
  if (!reason.empty()) return reason;
  layer.behind = requantizer_behind(graph, node.output());
  if (layer.behind && !is_op(node, "gemm")) {
    become_quantized(graph, layer, is_op(node, "conv") ? "qlinear_conv" : "qlinear_matmul");
    return {};
  }
  return become_integer(graph, layer);
}

// A sum of two tensors of one shape, or a product of two computed matrices.
std::string fuse_pair(Graph& graph, NodeId id, std::string_view op) {
  const Node& node = graph.node(id);
  const auto a = integers_behind(graph, node.input(0)), b = integers_behind(graph, node.input(1));
  const auto behind = requantizer_behind(graph, node.output());
  const auto fits = [](const auto& operand) { return operand && operand->per_tensor() && operand->is_8_bit(); };
  if (!fits(a) || !fits(b)) return "its inputs are not 8-bit integers of one scale each";
  if (!behind) return "its result is not quantized";
  const Shape &left = graph.value(node.input(0)).type.shape, &right = graph.value(node.input(1)).type.shape;
  const bool one_shape =
      left.ranked() && left == right &&
      std::none_of(left.dims().begin(), left.dims().end(), [](const Dim& d) { return d.is_unknown(); });
  if (op == "qlinear_add" && !one_shape) return "its inputs are not known to have one shape";
  const std::string name = node.name;
  const std::vector<ValueId> inputs = {a->integers,
                                       a->scale,
                                       zero_or_default(graph, a->zero, a->dtype, 1, name + ".a_zero"),
                                       b->integers,
                                       b->scale,
                                       zero_or_default(graph, b->zero, b->dtype, 1, name + ".b_zero"),
                                       behind->scale,
                                       zero_or_default(graph, behind->zero, behind->dtype, 1, name + ".y_zero")};
  graph.set_op(id, op, &op_table().get(op), {});
  graph.set_inputs(id, inputs);
  take_over(graph, id, *behind);
  return {};
}

// An average between quantizers: of the integers, in steps of the input, that are quantized in these steps.
std::string fuse_average(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto x = integers_behind(graph, node.input(0));
  const auto behind = requantizer_behind(graph, node.output());
  if (!x->per_tensor() || !x->is_8_bit()) return "its input is not an 8-bit integer of one scale";
  if (!behind || !behind->dropped.empty()) return "its result is not quantized";
  Attrs attrs = node.attrs;
  if (is_op(node, "global_average_pool")) {
    const Shape& shape = graph.value(node.input(0)).type.shape;
    std::vector<int64_t> kernel;
    for (size_t axis = 2; shape.ranked() && axis < shape.rank() && shape[axis].is_fixed(); ++axis) {
      kernel.push_back(shape[axis].extent());
    }
    if (kernel.empty() || kernel.size() + 2 != shape.rank()) return "its extents are not known";
    attrs.set("kernel_shape", kernel);
  }
  if (x->zeros[0] != 0) attrs.set("x_offset", x->zeros[0]);
  const float steps = behind->step / x->scales.values<float>()[0];
  graph.set_op(id, "average_pool", &op_table().get("average_pool"), std::move(attrs));
  graph.set_input(id, 0, x->integers);
  set_constant_input(graph, behind->node, 1, Tensor::scalar(steps), graph.node(id).name + ".steps");
  return {};
}

}  // namespace

PassReport fuse_qdq_into_integer(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id) || graph.node(id).is_opaque()) continue;
    const Node& node = graph.node(id);
    const bool layer = is_op(node, "conv") || is_op(node, "gemm") || is_op(node, "matmul");
    const bool average = is_op(node, "average_pool") || is_op(node, "global_average_pool");
    if (!layer && !average && !is_op(node, "add")) continue;
    const bool second = !average && integers_behind(graph, node.input(1));
    if (!second && !integers_behind(graph, node.input(0))) continue;
    const std::string name = node.name, op = node.op;
    const bool computed = second && graph.constant(integers_behind(graph, node.input(1))->integers) == nullptr;
    const std::string reason = average                             ? fuse_average(graph, id)
                               : is_op(node, "add")                ? fuse_pair(graph, id, "qlinear_add")
                               : is_op(node, "matmul") && computed ? fuse_pair(graph, id, "qlinear_matmul")
                                                                   : fuse_layer(graph, id);
    if (reason.empty()) {
      report.applied(name, fmt::format("{} became integer", op));
    } else {
      report.left_alone(name, fmt::format("{} stays float: {}", op, reason));
    }
  }
  if (report.changes > 0) erase_unused_quantizers(graph);
  return report;
}

}  // namespace amct

#include "passes/quantize/bias_correction.h"

#include <fmt/core.h>

#include <cstring>
#include <numeric>
#include <optional>

#include "ops/op_row.h"
#include "ops/window.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/plan_layers.h"

namespace amct {
namespace {

const Node& node_of(const Graph& graph, const LayerPlan& layer) {
  const NodeId id = graph.find_node(layer.name);
  AMCT_CHECK(id.valid(), fmt::format("the plan names layer '{}', which the graph lacks", layer.name));
  return graph.node(id);
}

bool is_window(const Node& node) { return node.row->attr("strides") != nullptr; }

// Spatial extents of a value, if they are all fixed.
std::optional<Dims> spatial_extents(const Graph& graph, ValueId id) {
  const Shape& shape = graph.value(id).type.shape;
  Dims extents;
  for (size_t axis = 2; axis < shape.rank(); ++axis) {
    if (!shape[axis].is_fixed()) return std::nullopt;
    extents.push_back(shape[axis].extent());
  }
  return extents;
}

// Share of the `outputs` positions that tap `tap` of a window reaches from one of `inputs` positions, on one axis.
double covered(int64_t inputs, int64_t outputs, int64_t tap, int64_t stride, int64_t dilation, int64_t pad,
               bool transposed) {
  int64_t inside = 0;
  const int64_t moving = transposed ? inputs : outputs;
  const int64_t limit = transposed ? outputs : inputs;
  for (int64_t i = 0; i < moving; ++i) {
    const int64_t reached = i * stride - pad + tap * dilation;
    inside += reached >= 0 && reached < limit ? 1 : 0;
  }
  return static_cast<double>(inside) / static_cast<double>(outputs);
}

// c_k for every tap of a kernel, row-major.
std::vector<double> coverage(const Node& node, const Dims& kernel, const Dims& inputs, const Dims& outputs) {
  const bool transposed = node.row->attr("output_padding") != nullptr;
  const dnn::Window window = resolve_window(read_window(node, kernel), inputs, transposed);
  std::vector<double> shares{1.0};
  for (size_t axis = 0; axis < kernel.size(); ++axis) {
    std::vector<double> next;
    for (const double share : shares) {
      for (int64_t tap = 0; tap < kernel[axis]; ++tap) {
        next.push_back(share * covered(inputs[axis], outputs[axis], tap, window.strides[axis], window.dilations[axis],
                                       window.pads_begin[axis], transposed));
      }
    }
    shares = std::move(next);
  }
  return shares;
}

double dot(const float* a, const double* b, size_t count) {
  constexpr size_t kLanes = 8;
  double lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) lanes[k] += static_cast<double>(a[i + k]) * b[i + k];
  }
  double sum = std::accumulate(lanes, lanes + kLanes, 0.0);
  for (; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// (out, in / group, taps): correction[o] = sum of delta * mean of the input channel * coverage of the tap.
std::vector<float> correct_window(const Graph& graph, const Node& node, const Tensor& delta,
                                  const std::vector<double>& means) {
  const Dims kernel(delta.dims().begin() + 2, delta.dims().end());
  const auto inputs = spatial_extents(graph, node.inputs[0]);
  const auto outputs = spatial_extents(graph, node.output());
  if (!inputs || !outputs || inputs->size() != kernel.size() || element_count(*outputs) == 0) return {};
  const std::vector<double> shares = coverage(node, kernel, *inputs, *outputs);
  const auto groups = static_cast<size_t>(attr_int(node, "group"));
  const auto out = static_cast<size_t>(delta.dims()[0]);
  const auto in = static_cast<size_t>(delta.dims()[1]);
  if (means.size() != in * groups || out % groups != 0) return {};
  const auto values = delta.values<float>();
  std::vector<double> expected;  // of the values that a weight meets, by group, input and tap
  for (const double mean : means) {
    for (const double share : shares) expected.push_back(mean * share);
  }
  const size_t weights = in * shares.size();  // of an output
  std::vector<float> correction(out);
  for (size_t o = 0; o < out; ++o) {
    const double* means_of_group = expected.data() + o / (out / groups) * weights;
    correction[o] = static_cast<float>(dot(values.data() + o * weights, means_of_group, weights));
  }
  return correction;
}

// A matrix whose axis `channel_axis` holds the outputs.
std::vector<float> correct_matrix(const Tensor& delta, int channel_axis, const std::vector<double>& means) {
  const auto rows = static_cast<size_t>(delta.dims()[0]);
  const auto columns = static_cast<size_t>(delta.dims()[1]);
  if (means.size() != (channel_axis == 0 ? columns : rows)) return {};
  const auto values = delta.values<float>();
  std::vector<double> sums(channel_axis == 0 ? rows : columns, 0);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const double value = values[r * columns + c];
      if (channel_axis == 0) {
        sums[r] += value * means[c];
      } else {
        sums[c] += value * means[r];
      }
    }
  }
  return {sums.begin(), sums.end()};
}

bool has_place_for_bias(const Graph& graph, const Node& node) {
  return node.row->quant.compute_rule().bias_port >= 0 || bias_of(graph, graph.find_node(node.name)).valid();
}

}  // namespace

size_t input_channel_axis(const Graph& graph, const LayerPlan& layer) {
  const Node& node = node_of(graph, layer);
  if (is_window(node)) return 1;
  const Shape& shape = graph.value(node.inputs[0]).type.shape;
  return shape.rank() > 0 ? shape.rank() - 1 : 0;
}

std::vector<float> bias_correction(const Graph& graph, const LayerPlan& layer, const std::vector<double>& means) {
  const Node& node = node_of(graph, layer);
  if (!layer.weight || layer.weight->scales.empty() || means.empty() || !has_place_for_bias(graph, node)) return {};
  const QuantRule::Compute& rule = node.row->quant.compute_rule();
  const int axis = rule.channel_axis_for(graph, node);
  const Tensor& constant = *graph.constant(node.input(static_cast<size_t>(rule.weight_port)));
  if (!is_window(node) && constant.rank() != 2) return {};
  Tensor delta = fake_quantized(constant, *layer.weight, axis);
  const Tensor weight = constant.dtype() == DType::kFloat32 ? constant : constant.resident().cast(DType::kFloat32);
  const std::byte* bytes = weight.bytes().data();  // at any address
  for (float& value : delta.mutable_values<float>()) {
    float exact;
    std::memcpy(&exact, bytes, sizeof(float));
    bytes += sizeof(float);
    value = exact - value;
  }
  return is_window(node) ? correct_window(graph, node, delta, means) : correct_matrix(delta, axis, means);
}

Graph with_corrected_biases(const Graph& graph, const Plan& plan) {
  Graph result = graph;
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || layer.bias_correction.empty()) continue;
    const NodeId id = result.find_node(layer.name);
    const ValueId bias = bias_of(result, id);
    const auto channels = static_cast<int64_t>(layer.bias_correction.size());
    const Tensor* old = bias.valid() ? result.constant(bias) : nullptr;
    const std::vector<double> before = old != nullptr ? old->to_doubles() : std::vector<double>{0.0};
    const bool half = result.value(result.node(id).output()).type.dtype == DType::kFloat16;
    const DType dtype = old != nullptr ? old->dtype() : half ? DType::kFloat16 : DType::kFloat32;
    std::vector<float> values(layer.bias_correction);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] += static_cast<float>(before[before.size() == 1 ? 0 : i]);
    }
    Dims dims{channels};
    if (old != nullptr && old->size() == channels) dims = old->dims();
    const ValueId fresh = result.add_constant(layer.name + ".bias", Tensor::of<float>(dims, values).cast(dtype));
    const NodeId add = bias_add_of(result, id);
    if (!add.valid()) {
      const int port = result.node(id).row->quant.compute_rule().bias_port;
      result.set_input(id, static_cast<size_t>(port), fresh);
    } else {
      const std::vector<ValueId> inputs = result.node(add).inputs;
      result.set_input(add, inputs[0] == bias ? 0 : 1, fresh);
    }
    if (bias.valid() && result.value(bias).uses.empty() && !result.is_output(bias)) result.erase_value(bias);
  }
  return result;
}

}  // namespace amct

// Convolution over 1 to 3 spatial axes with groups, dilation, asymmetric pads and bias.
//
// y[n, o, p] = bias[o] + sum over i, k of w[o, i, k] x[n, g in / group + i, p stride + k dilation - pad].
#include "ops/compute_row.h"
#include "ops/convolution.h"

namespace amct {
namespace {

bool is_3d(const Graph& graph, const Node& node) {
  const Tensor* weight = graph.constant(node.input(1));
  return weight != nullptr && weight->rank() == 5;
}

std::vector<Sample> samples() {
  using Ints = std::vector<int64_t>;
  return {
      {.name = "pads_strides",
       .inputs = {random_input({2, 3, 9, 7}), random_weight({5, 3, 3, 2}), random_weight({5})},
       .attrs = {{"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 2, 1}}}},
      {.name = "no_bias", .inputs = {random_input({1, 7, 6, 5}), random_weight({11, 7, 1, 1})}},
      {.name = "dilated",
       .inputs = {random_input({1, 4, 11, 10}), random_weight({6, 4, 3, 3}), random_weight({6})},
       .attrs = {{"dilations", Ints{2, 3}}, {"pads", Ints{2, 3, 2, 3}}}},
      {.name = "grouped",
       .inputs = {random_input({2, 6, 5, 8}), random_weight({9, 2, 3, 3}), random_weight({9})},
       .attrs = {{"group", int64_t{3}}, {"pads", Ints{1, 1, 1, 1}}}},
      {.name = "depthwise",
       .inputs = {random_input({1, 13, 9, 9}), random_weight({13, 1, 5, 5}), random_weight({13})},
       .attrs = {{"group", int64_t{13}}, {"pads", Ints{2, 2, 2, 2}}, {"strides", Ints{2, 2}}}},
      {.name = "same_upper",
       .inputs = {random_input({1, 3, 8, 9}), random_weight({4, 3, 4, 3})},
       .attrs = {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Ints{2, 2}}}},
      {.name = "same_lower",
       .inputs = {random_input({1, 3, 8, 9}), random_weight({4, 3, 4, 3})},
       .attrs = {{"auto_pad", std::string("SAME_LOWER")}, {"strides", Ints{2, 2}}}},
      {.name = "1d",
       .inputs = {random_input({2, 3, 17}), random_weight({5, 3, 4}), random_weight({5})},
       .attrs = {{"strides", Ints{3}}, {"pads", Ints{2, 1}}}},
      {.name = "3d",
       .inputs = {random_input({1, 3, 5, 6, 7}), random_weight({4, 3, 2, 3, 3}), random_weight({4})},
       .attrs = {{"pads", Ints{0, 1, 1, 1, 1, 1}}, {"strides", Ints{1, 2, 1}}}},
  };
}

}  // namespace

void add_conv_op(OpTable& table) {
  table.add({
      .name = "conv",
      .doc = "Convolution over 1 to 3 spatial axes with groups, dilation, pads and bias.",
      .inputs = {{"x"}, {"w", Role::kWeight}, {"bias", Role::kBias, true}},
      .outputs = {{"y"}},
      .attrs = convolution_attrs(),
      .infer = infer_convolution,
      .run = run_convolution,
      .lower = lower_convolution,
      .layout = LayoutRule::kPreferChannelsLast,
      .quant = QuantRule::compute({.weight_port = 1,
                                   .bias_port = 2,
                                   .channel_axis = 0,
                                   .per_channel = true,
                                   .check = check_convolution,
                                   .symmetric_only_of = is_3d}),
      .axes = axes_convolution,
      .cost = cost_convolution,
      .spellings = {onnx("Conv", 1, kAllVersions, nullptr, export_compute)},
      .samples = samples,
  });
}

}  // namespace amct

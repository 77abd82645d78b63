// Transposed convolution (deconvolution) over 1 to 3 spatial axes.
//
// y[n, o, p stride + k dilation - pad] += w[o, i, k] x[n, g in / group + i, p]. Weights are (out, in / group,
// spatial…): a constant weight is permuted on import and permuted back, bit for bit and under its own name, on export.
#include <fmt/core.h>

#include <numeric>

#include "ops/compute_row.h"
#include "ops/convolution.h"

namespace amct {
namespace {

// The permuted weight; the same value for all nodes that share the stored one.
ValueId import_weight(ImportContext& c, ValueId stored, int64_t groups) {
  Graph& graph = c.graph();
  const Value& value = graph.value(stored);
  const std::string name = fmt::format("{}.out_in.{}", value.name, groups);
  const ValueId known = graph.find_value(name);
  if (known.valid() && graph.value(known).origin == Origin{value.name, kSwappedWeight}) return known;
  const std::string stored_name = value.name;
  const ValueId id = graph.add_constant(name, swap_in_out(value.data, groups));
  graph.value(id).origin = {stored_name, kSwappedWeight};
  return id;
}

void import_conv_transpose(ImportContext& c) {
  Attrs attrs;
  for (const auto& [name, value] : c.attrs().items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
    attrs.set(name, value);
  }
  std::vector<ValueId> inputs = c.foreign().inputs;
  if (inputs.size() < 2 || !inputs[1].valid()) c.fail("its weight is missing");
  const int64_t groups = attrs.get<int64_t>("group", 1);
  if (c.graph().value(inputs[1]).is_constant()) {
    const Dims& dims = c.graph().value(inputs[1]).data.dims();
    if (groups < 1 || dims.size() < 3 || dims[0] % groups != 0) {
      c.fail(fmt::format("{} groups do not fit its weights {}", groups, to_string(dims)));
    }
    inputs[1] = import_weight(c, inputs[1], groups);
  } else {
    attrs.set("weight_layout", std::string("in_out"));
  }
  c.add(std::move(inputs), std::move(attrs));
}

std::string export_constant(ExportContext& c, const Value& weight) {
  const Tensor stored = swap_in_out(weight.data, attr_int(c.node(), "group"));
  const bool own_name = weight.origin.op == kSwappedWeight && !c.graph().find_value(weight.origin.name).valid();
  return own_name ? c.named_constant(stored, weight.origin.name) : c.helper_constant(stored, "weight");
}

// A weight that is computed as (out, in, spatial…), as behind a quantizer: ONNX needs a transposition in between.
std::string export_computed(ExportContext& c, const Value& weight) {
  if (attr_int(c.node(), "group") != 1 || !weight.type.shape.ranked()) {
    c.unsupported("its computed weight has groups, in a layout that ONNX does not have");
  }
  std::vector<int64_t> order(weight.type.shape.rank());
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[0], order[1]);
  return c.emit_helper("Transpose", {weight.name}, {{"perm", order}}, "weight_in_out");
}

void export_conv_transpose(ExportContext& c) {
  const Node& node = c.node();
  if (attr_int(node, "x_offset") != 0) c.unsupported("an integer operator with an input offset has no ONNX form");
  std::vector<std::string> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(c.value_name(input));
  if (attr_string(node, "weight_layout") == "out_in") {
    const Value& weight = c.graph().value(node.input(1));
    inputs[1] = weight.is_constant() ? export_constant(c, weight) : export_computed(c, weight);
  }
  Attrs attrs = node.attrs;
  attrs.erase("x_offset");
  attrs.erase("weight_layout");
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<AttrSpec> attrs() {
  std::vector<AttrSpec> attrs = convolution_attrs();
  attrs.push_back(ints_attr("output_padding"));
  attrs.push_back(ints_attr("output_shape"));
  attrs.push_back(string_attr("weight_layout", "out_in"));
  return attrs;
}

std::vector<Sample> samples() {
  using Ints = std::vector<int64_t>;
  return {
      {.name = "strides_pads",
       .inputs = {random_input({2, 3, 5, 4}), random_weight({5, 3, 3, 2}), random_weight({5})},
       .attrs = {{"strides", Ints{2, 3}}, {"pads", Ints{1, 0, 2, 1}}}},
      {.name = "output_padding",
       .inputs = {random_input({1, 4, 5, 3}), random_weight({7, 4, 3, 3})},
       .attrs = {{"strides", Ints{2, 3}}, {"output_padding", Ints{1, 2}}, {"pads", Ints{1, 1, 1, 1}}}},
      {.name = "output_shape",
       .inputs = {random_input({1, 3, 4, 5}), random_weight({2, 3, 3, 3}), random_weight({2})},
       .attrs = {{"strides", Ints{3, 2}}, {"output_shape", Ints{10, 10}}}},
      {.name = "same_upper",
       .inputs = {random_input({1, 3, 4, 5}), random_weight({2, 3, 3, 4})},
       .attrs = {{"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}}},
      {.name = "grouped",
       .inputs = {random_input({1, 6, 4, 5}), random_weight({10, 3, 3, 3}), random_weight({10})},
       .attrs = {{"group", int64_t{2}}, {"strides", Ints{2, 1}}}},
      {.name = "dilated",
       .inputs = {random_input({1, 3, 5, 6}), random_weight({4, 3, 2, 3})},
       .attrs = {{"dilations", Ints{3, 2}}}},
      {.name = "1d",
       .inputs = {random_input({2, 3, 7}), random_weight({5, 3, 4}), random_weight({5})},
       .attrs = {{"strides", Ints{3}}}},
      {.name = "3d",
       .inputs = {random_input({1, 2, 3, 4, 3}), random_weight({3, 2, 2, 3, 2}), random_weight({3})},
       .attrs = {{"strides", Ints{1, 2, 2}}}},
  };
}

}  // namespace

void add_conv_transpose_op(OpTable& table) {
  table.add({
      .name = "conv_transpose",
      .doc = "Transposed convolution over 1 to 3 spatial axes.",
      .inputs = {{"x"}, {"w", Role::kWeight}, {"bias", Role::kBias, true}},
      .outputs = {{"y"}},
      .attrs = attrs(),
      .infer = infer_convolution,
      .run = run_convolution,
      .lower = lower_convolution,
      .layout = LayoutRule::kPreferChannelsLast,
      .quant = QuantRule::compute(
          {.weight_port = 1, .bias_port = 2, .channel_axis = 0, .per_channel = true, .check = check_convolution}),
      .axes = axes_convolution,
      .cost = cost_convolution,
      .spellings = {onnx("ConvTranspose", 1, kAllVersions, import_conv_transpose, export_conv_transpose)},
      .samples = samples,
  });
}

}  // namespace amct

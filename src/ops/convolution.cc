#include "ops/convolution.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "kernels/dnnl/convolution.h"
#include "kernels/reference/reference.h"
#include "ops/compute_row.h"
#include "ops/integer_compute.h"
#include "ops/window.h"

namespace amct {
namespace {

constexpr size_t kX = 0, kWeight = 1, kBias = 2;

bool stored_in_out(const Node& node) {
  return is_transposed_convolution(node) && attr_string(node, "weight_layout") == "in_out";
}

// Extents of the weights as (out, in / group, spatial…).
Dims out_in_dims(const Node& node, Dims dims) {
  if (!stored_in_out(node) || dims.size() < 2) return dims;
  const int64_t groups = attr_int(node, "group");
  const int64_t in = dims[0];
  dims[0] = dims[1] * groups;
  dims[1] = in / groups;
  return dims;
}

Dims spatial_of(const Dims& dims) { return Dims(dims.begin() + 2, dims.end()); }

struct Geometry {
  dnn::Window window;
  Dims weights;
  int64_t groups = 1;
};

Geometry geometry_of(const Node& node, const Dims& x, const Dims& w) {
  Geometry geometry;
  geometry.weights = out_in_dims(node, w);
  geometry.groups = attr_int(node, "group");
  const WindowRule rule = read_window(node, spatial_of(geometry.weights));
  geometry.window = resolve_window(rule, spatial_of(x), is_transposed_convolution(node));
  return geometry;
}

int64_t read_groups(const InferContext& c) {
  const int64_t groups = attr_int(c.node(), "group");
  if (groups < 1 || groups > std::numeric_limits<int32_t>::max())
    c.fail(fmt::format("attribute 'group' is {}", groups));
  return groups;
}

// Spatial kernel extents: the weights', checked against kernel_shape, which serves where the weights are not known.
std::optional<Dims> kernel_of(const InferContext& c, size_t spatial) {
  Dims written = attr_ints(c.node(), "kernel_shape");
  if (!written.empty() && written.size() != spatial) {
    c.fail(fmt::format("attribute 'kernel_shape' has {} entries; {} are needed", written.size(), spatial));
  }
  const Shape& weights = c.shape(kWeight);
  Dims kernel;
  for (size_t axis = 2; weights.ranked() && axis < weights.rank() && weights[axis].is_fixed(); ++axis) {
    kernel.push_back(weights[axis].extent());
  }
  if (kernel.size() != spatial) return written.empty() ? std::nullopt : std::optional(written);
  if (!written.empty() && written != kernel) {
    c.fail(fmt::format("attribute 'kernel_shape' is {}, but its weights are {}", to_string(written),
                       c.shape(kWeight).to_string()));
  }
  return kernel;
}

// Checks channels and returns the output's.
Dim check_channels(const InferContext& c, int64_t groups) {
  const auto stored = c.shape(kWeight).fixed();
  if (!stored) return c.shape(kWeight).ranked() && !stored_in_out(c.node()) ? c.shape(kWeight)[0] : Dim();
  if (stored_in_out(c.node()) && (*stored)[0] % groups != 0) {
    c.fail(fmt::format("{} groups do not divide its weights {}", groups, to_string(*stored)));
  }
  const Dims weights = out_in_dims(c.node(), *stored);
  if (weights[0] % groups != 0) c.fail(fmt::format("{} groups do not divide its {} outputs", groups, weights[0]));
  const Dim in = c.shape(kX).ranked() ? c.shape(kX)[1] : Dim();
  if (in.is_fixed() && in.extent() != weights[1] * groups) {
    c.fail(fmt::format("its input has {} channels, its weights {} take {}", in.extent(), to_string(*stored),
                       weights[1] * groups));
  }
  const auto bias = c.has(kBias) ? c.shape(kBias).fixed() : std::nullopt;
  if (bias && *bias != Dims{weights[0]}) {
    c.fail(fmt::format("its bias has shape {} for {} outputs", to_string(*bias), weights[0]));
  }
  return weights[0];
}

DType sum_type(const InferContext& c) {
  const auto weights = c.shape(kWeight).fixed();
  std::optional<int64_t> depth;
  if (weights && weights->size() > 2) {
    const Dims dims = out_in_dims(c.node(), *weights);
    depth = dims[1] * element_count(spatial_of(dims));
  }
  return integer_sum_type(c.dtype(kX), depth, c.has(kBias), c.value(kBias));
}

}  // namespace

bool is_transposed_convolution(const Node& node) { return node.row->attr("weight_layout") != nullptr; }

std::vector<AttrSpec> convolution_attrs() {
  std::vector<AttrSpec> attrs = window_attrs();
  attrs.push_back(ints_attr("kernel_shape"));
  attrs.push_back(int_attr("group", 1));
  attrs.push_back(int_attr("x_offset", 0));
  return attrs;
}

void infer_convolution(InferContext& c) {
  expect_operands_of_input_type(c);
  const int64_t groups = read_groups(c);
  const DType dtype = is_integer_compute(c.dtype(kX)) ? sum_type(c) : compute_output_type(c);
  const Shape& known = c.shape(kX).ranked() ? c.shape(kX) : c.shape(kWeight);
  if (!known.ranked()) return c.set_output(0, dtype, Shape());
  const size_t rank = known.rank();
  if (rank < 3 || rank > 5) c.fail(fmt::format("its input has rank {}; 3 to 5 is needed", rank));
  if (c.shape(kWeight).ranked() && c.shape(kWeight).rank() != rank) {
    c.fail(fmt::format("its input has rank {}, its weights have rank {}", rank, c.shape(kWeight).rank()));
  }
  Shape output = Shape::of_rank(rank);
  output[1] = check_channels(c, groups);
  if (c.shape(kX).ranked()) output[0] = c.shape(kX)[0];
  const auto kernel = kernel_of(c, rank - 2);
  if (kernel && c.shape(kX).ranked()) {
    const WindowRule rule = read_window(c.node(), *kernel);
    const auto spatial =
        window_dims(c.node(), rule, std::span(c.shape(kX).dims()).subspan(2), is_transposed_convolution(c.node()));
    for (size_t i = 0; i < spatial.size(); ++i) output[2 + i] = spatial[i];
  }
  c.set_output(0, dtype, std::move(output));
}

void run_convolution(RunContext& c) {
  const bool transposed = is_transposed_convolution(c.node());
  if (is_integer_compute(c.input(kX).dtype)) {
    return transposed ? run_integer_conv_transpose(c) : run_integer_conv(c);
  }
  const Geometry geometry = geometry_of(c.node(), c.input(kX).dims, c.input(kWeight).dims);
  const auto shape = reference::windowed_shape(c.input(kX).dims, c.output(0).dims, geometry.window, geometry.groups);
  const std::vector<double> x = reference::widen(c.input(kX));
  std::vector<double> w = reference::widen(c.input(kWeight));
  if (stored_in_out(c.node())) {
    const Tensor stored = Tensor::of<double>(c.input(kWeight).dims, w);
    const Tensor permuted = swap_in_out(stored, geometry.groups);
    w.assign(permuted.values<double>().begin(), permuted.values<double>().end());
  }
  const std::vector<double> bias = c.has(kBias) ? reference::widen(c.input(kBias)) : std::vector<double>();
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  const auto kernel = transposed ? reference::convolve_transposed : reference::convolve;
  kernel(shape, x.data(), w.data(), bias.empty() ? nullptr : bias.data(), y.data(), c.threads());
  reference::narrow(y, c.output(0));
}

std::unique_ptr<Step> lower_convolution(const LowerContext& c) {
  const bool transposed = is_transposed_convolution(c.node());
  if (is_integer_compute(c.input(kX).dtype)) {
    return transposed ? lower_integer_conv_transpose(c) : lower_integer_conv(c);
  }
  if (c.input(kX).dtype != DType::kFloat32 || stored_in_out(c.node())) return nullptr;
  const Geometry geometry = geometry_of(c.node(), c.input(kX).dims, c.input(kWeight).dims);
  dnn::ConvolutionSpec spec{.transposed = transposed,
                            .src = operand_of(c.input(kX)),
                            .dst = operand_of(c.output(0)),
                            .weight_dims = geometry.weights,
                            .groups = geometry.groups,
                            .has_bias = c.has(kBias),
                            .weights = constant_of(c, kWeight),
                            .bias = constant_of(c, kBias),
                            .window = geometry.window,
                            .threads = c.threads()};
  return lower_kernel(c, {kX, kWeight, kBias}, [&](const std::vector<dnn::PostOp>& post_ops) {
    spec.post_ops = post_ops;
    return dnn::make_convolution(spec);
  });
}

std::vector<AxisRelation> axes_convolution(const AxesContext& c) {
  if (stored_in_out(c.node())) {
    const char* reason = "its weights are computed";
    return {lock(in_axis(kX, 1), reason), lock(out_axis(0, 1), reason)};
  }
  const int64_t groups = attr_int(c.node(), "group");
  const int64_t in = c.input(kX)[1];
  const int64_t out = c.output(0)[1];
  std::vector<AxisRelation> relations{tie(c.input(kX)[0], {in_axis(kX, 0), out_axis(0, 0)})};
  // With groups a channel of the relation is a whole group: its inputs, its rows of the weights and its outputs.
  const int64_t inner = out / groups;
  AxisRelation outputs = tie(groups > 1 ? groups : out, {in_axis(kWeight, 0), out_axis(0, 1)});
  if (c.has(kBias)) outputs.refs.push_back(in_axis(kBias, 0));
  if (groups > 1) {
    for (AxisRef& ref : outputs.refs) ref.inner = inner;
    AxisRef input = in_axis(kX, 1);
    input.inner = in / groups;
    outputs.refs.push_back(input);
  } else {
    relations.push_back(free_axis(in, {in_axis(kWeight, 1), in_axis(kX, 1)}));
  }
  relations.push_back(std::move(outputs));
  for (size_t axis = 2; axis < c.input(kX).size(); ++axis) {
    relations.push_back(lock(in_axis(kX, axis), "a window slides over it"));
    relations.push_back(lock(in_axis(kWeight, axis), "it is the window"));
    relations.push_back(lock(out_axis(0, axis), "a window slides over it"));
  }
  return relations;
}

Cost cost_convolution(const CostContext& c) {
  const bool transposed = is_transposed_convolution(c.node());
  const Dims weights = out_in_dims(c.node(), c.input(kWeight));
  const int64_t kernel = element_count(spatial_of(weights));
  // Every output gathers in / group windows; transposed, every input spreads over out / group windows.
  if (transposed) return {element_count(c.input(kX)) * (weights[0] / attr_int(c.node(), "group")) * kernel};
  return {element_count(c.output(0)) * weights[1] * kernel};
}

std::string check_convolution(const Graph& graph, const Node& node) {
  std::string reason = check_constant(graph, node, kWeight, "weight");
  if (reason.empty()) reason = check_constant(graph, node, kBias, "bias");
  if (!reason.empty()) return reason;
  const Tensor* weight = graph.constant(node.input(kWeight));
  if (weight->rank() == 5 && is_transposed_convolution(node)) return "it is a 3-d transposed convolution";
  const auto dilations = attr_ints(node, "dilations");
  if (weight->rank() == 5 && !dilations.empty() && dilations[0] != 1) return "it is dilated along depth";
  return {};
}

Tensor swap_in_out(const Tensor& weights, int64_t groups) {
  const Dims& dims = weights.dims();
  if (dims.size() < 2 || groups < 1 || dims[0] % groups != 0) {
    throw Error(ErrorCode::kInput, fmt::format("{} groups do not divide weights {}", groups, to_string(dims)));
  }
  const int64_t rows = dims[0] / groups;
  const int64_t columns = dims[1];
  Dims permuted = dims;
  permuted[0] = columns * groups;
  permuted[1] = rows;
  Tensor result = Tensor::allocate(weights.dtype(), permuted);
  const size_t bytes = static_cast<size_t>(element_count(spatial_of(dims))) * element_bytes(weights.dtype());
  std::byte* to = result.mutable_data();
  for (int64_t group = 0; group < groups; ++group) {
    for (int64_t column = 0; column < columns; ++column) {
      for (int64_t row = 0; row < rows; ++row) {
        const size_t from = static_cast<size_t>((group * rows + row) * columns + column) * bytes;
        to = std::copy_n(weights.bytes().data() + from, bytes, to);
      }
    }
  }
  return result;
}

}  // namespace amct

// Average of a sliding window: the sum divided by the elements inside the input, or with count_include_pad by those
// inside input and pads. Elements that ceil_mode adds behind the pads never count.
#include <algorithm>

#include "kernels/reference/reference.h"
#include "ops/compute_row.h"
#include "ops/integer_compute.h"
#include "ops/pool.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  infer_pool(c, is_integer_compute(c.dtype(0)) ? DType::kFloat32 : compute_output_type(c));
}

void run(RunContext& c) {
  if (is_integer_compute(c.input(0).dtype)) return run_integer_average_pool(c);
  const auto shape =
      reference::windowed_shape(c.input(0).dims, c.output(0).dims, pool_window(c.node(), c.input(0).dims));
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  reference::average_pool(shape, reference::widen(c.input(0)).data(), y.data(),
                          attr_int(c.node(), "count_include_pad") != 0, true, c.threads());
  reference::narrow(y, c.output(0));
}

std::unique_ptr<Step> lower(const LowerContext& c) {
  if (is_integer_compute(c.input(0).dtype)) return lower_integer_average_pool(c);
  const auto kind = attr_int(c.node(), "count_include_pad") != 0 ? dnn::PoolingSpec::Kind::kAveragePadded
                                                                 : dnn::PoolingSpec::Kind::kAverageInside;
  return lower_pool(c, kind, pool_window(c.node(), c.input(0).dims));
}

std::string check(const Graph&, const Node& node) {
  return attr_ints(node, "kernel_shape").size() == 2 ? "" : "its input does not have rank 4";
}

void export_average_pool(ExportContext& c) {
  const auto dilations = attr_ints(c.node(), "dilations");
  const bool dilated = std::any_of(dilations.begin(), dilations.end(), [](int64_t d) { return d != 1; });
  if (dilated && c.version() < 19) c.unsupported("its dilations need opset 19");
  export_compute(c);
}

std::vector<Sample> samples() {
  using Ints = std::vector<int64_t>;
  const Attrs padded{{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 3}}, {"pads", Ints{1, 0, 2, 1}}};
  Attrs include = padded;
  include.set("count_include_pad", int64_t{1});
  Attrs ceil = padded;
  ceil.set("ceil_mode", int64_t{1});
  return {
      {.name = "plain", .inputs = {random_input({2, 5, 9, 7})}, .attrs = {{"kernel_shape", Ints{3, 2}}}},
      {.name = "pads", .inputs = {random_input({2, 5, 9, 7})}, .attrs = padded},
      {.name = "include_pad", .inputs = {random_input({1, 7, 9, 7})}, .attrs = include},
      {.name = "ceil", .inputs = {random_input({1, 7, 10, 8})}, .attrs = ceil},
      {.name = "same_upper",
       .inputs = {random_input({1, 3, 7, 8})},
       .attrs = {{"kernel_shape", Ints{3, 4}}, {"strides", Ints{2, 2}}, {"auto_pad", std::string("SAME_UPPER")}}},
      {.name = "dilated",
       .inputs = {random_input({1, 3, 9, 8})},
       .attrs = {{"kernel_shape", Ints{2, 3}}, {"dilations", Ints{3, 2}}}},
      {.name = "1d", .inputs = {random_input({2, 3, 13})}, .attrs = {{"kernel_shape", Ints{4}}, {"strides", Ints{3}}}},
      {.name = "3d",
       .inputs = {random_input({1, 3, 5, 6, 7})},
       .attrs = {{"kernel_shape", Ints{2, 3, 2}}, {"strides", Ints{1, 2, 2}}}},
  };
}

}  // namespace

void add_average_pool_op(OpTable& table) {
  std::vector<AttrSpec> attrs = pool_attrs();
  attrs.push_back(int_attr("count_include_pad", 0));
  attrs.push_back(int_attr("x_offset", 0));
  table.add({
      .name = "average_pool",
      .doc = "Average of a sliding window.",
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .attrs = std::move(attrs),
      .infer = infer,
      .run = run,
      .lower = lower,
      .layout = LayoutRule::kPreferChannelsLast,
      .quant = QuantRule::compute({.check = check}),
      .axes = axes_pool,
      .spellings = {onnx("AveragePool", 1, kAllVersions, nullptr, export_average_pool)},
      .samples = samples,
  });
}

}  // namespace amct

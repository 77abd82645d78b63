// General matrix product: y = alpha a' b' + beta c, where a' is a or its transpose, and c broadcasts to the result.
#include <fmt/core.h>

#include <algorithm>

#include "kernels/dnnl/matmul.h"
#include "kernels/reference/reference.h"
#include "ops/compute_row.h"
#include "ops/integer_compute.h"

namespace amct {
namespace {

bool trans_a(const Node& node) { return attr_int(node, "transA") != 0; }
bool trans_b(const Node& node) { return attr_int(node, "transB") != 0; }

struct Extents {
  int64_t m, n, k;
};
Extents extents_of(const Node& node, const Dims& a, const Dims& b) {
  return {trans_a(node) ? a[1] : a[0], trans_b(node) ? b[0] : b[1], trans_a(node) ? a[0] : a[1]};
}

// Extents of c as (rows, columns) of 1 or the result's.
Dims two_dims(Dims dims) {
  while (dims.size() < 2) dims.insert(dims.begin(), 1);
  return dims;
}

void infer(InferContext& c) {
  expect_operands_of_input_type(c);
  for (const size_t port : {0, 1}) {
    if (c.shape(port).ranked() && c.shape(port).rank() != 2) {
      c.fail(fmt::format("input {} has rank {}; 2 is needed", port, c.shape(port).rank()));
    }
  }
  Shape y = Shape::of_rank(2);
  Dim k_a, k_b;
  if (c.shape(0).ranked()) {
    y[0] = c.shape(0)[trans_a(c.node()) ? 1 : 0];
    k_a = c.shape(0)[trans_a(c.node()) ? 0 : 1];
  }
  if (c.shape(1).ranked()) {
    y[1] = c.shape(1)[trans_b(c.node()) ? 0 : 1];
    k_b = c.shape(1)[trans_b(c.node()) ? 1 : 0];
  }
  if (k_a.is_fixed() && k_b.is_fixed() && k_a.extent() != k_b.extent()) {
    c.fail(fmt::format("shapes {} and {} do not multiply", c.shape(0).to_string(), c.shape(1).to_string()));
  }
  const Dim depth = k_a.is_fixed() ? k_a : k_b;
  const auto known_depth = depth.is_fixed() ? std::optional(depth.extent()) : std::nullopt;
  const DType dtype =
      is_integer_compute(c.dtype(0)) ? integer_sum_type(c.dtype(0), known_depth, c.has(2), c.value(2)) : c.dtype(0);
  const auto bias = c.has(2) ? c.shape(2).fixed() : std::nullopt;
  if (bias && bias->size() > 2) c.fail(fmt::format("input 2 has shape {}", to_string(*bias)));
  for (size_t axis = 0; bias && axis < 2; ++axis) {
    const int64_t extent = two_dims(*bias)[axis];
    if (extent != 1 && y[axis].is_fixed() && y[axis].extent() != extent) {
      c.fail(fmt::format("input 2 of shape {} does not broadcast to {}", to_string(*bias), y.to_string()));
    }
  }
  c.set_output(0, dtype, std::move(y));
}

std::vector<double> transposed(const std::vector<double>& values, int64_t rows, int64_t columns) {
  std::vector<double> result(values.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) result[j * rows + i] = values[i * columns + j];
  }
  return result;
}

void run(RunContext& c) {
  const Node& node = c.node();
  if (is_integer_compute(c.input(0).dtype)) return run_integer_gemm(c);
  const auto [m, n, k] = extents_of(node, c.input(0).dims, c.input(1).dims);
  std::vector<double> a = reference::widen(c.input(0));
  std::vector<double> b = reference::widen(c.input(1));
  if (trans_a(node)) a = transposed(a, k, m);
  if (trans_b(node)) b = transposed(b, n, k);
  std::vector<double> y(static_cast<size_t>(m * n));
  reference::multiply_add(m, n, k, a.data(), b.data(), y.data(), c.threads());
  const double alpha = attr_float(node, "alpha");
  const double beta = attr_float(node, "beta");
  for (double& value : y) value *= alpha;
  if (c.has(2)) {
    const std::vector<double> bias = reference::widen(c.input(2));
    const Dims dims = two_dims(c.input(2).dims);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        y[i * n + j] += beta * bias[(dims[0] == 1 ? 0 : i) * dims[1] + (dims[1] == 1 ? 0 : j)];
      }
    }
  }
  reference::narrow(y, c.output(0));
}

Tensor scaled(const Tensor& tensor, double factor) {
  if (!tensor || factor == 1) return tensor;
  Tensor result = Tensor::allocate(DType::kFloat32, tensor.dims());
  std::transform(tensor.values<float>().begin(), tensor.values<float>().end(), result.mutable_values<float>().begin(),
                 [&](float value) { return static_cast<float>(value * factor); });
  return result;
}

std::unique_ptr<Step> lower(const LowerContext& c) {
  const Node& node = c.node();
  if (is_integer_compute(c.input(0).dtype)) return lower_integer_gemm(c);
  if (c.input(0).dtype != DType::kFloat32) return nullptr;
  const double alpha = attr_float(node, "alpha");
  const double beta = attr_float(node, "beta");
  const Tensor b = constant_of(c, 1);
  const Tensor bias = constant_of(c, 2);
  const bool has_bias = c.has(2) && beta != 0;
  if ((alpha != 1 && !b) || (has_bias && beta != 1 && !bias)) return nullptr;  // factors go into constants
  const auto [m, n, k] = extents_of(node, c.input(0).dims, c.input(1).dims);
  dnn::MatmulSpec spec{.a_dims = {m, k},
                       .b_dims = {k, n},
                       .dst_dims = {m, n},
                       .a_transposed = trans_a(node),
                       .b_transposed = trans_b(node),
                       .bias_dims = has_bias ? two_dims(c.input(2).dims) : Dims(),
                       .b = c.packs_products() || alpha != 1 ? scaled(b, alpha) : Tensor(),
                       .bias = has_bias ? scaled(bias, beta) : Tensor(),
                       .threads = c.threads()};
  return lower_kernel(c, {0, 1, 2}, [&](const std::vector<dnn::PostOp>& post_ops) {
    spec.post_ops = post_ops;
    return dnn::make_matmul(spec);
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  const size_t k_a = trans_a(c.node()) ? 0 : 1;
  const size_t k_b = trans_b(c.node()) ? 1 : 0;
  AxisRelation rows = tie(c.output(0)[0], {in_axis(0, 1 - k_a), out_axis(0, 0)});
  AxisRelation columns = tie(c.output(0)[1], {in_axis(1, 1 - k_b), out_axis(0, 1)});
  if (c.has(2)) {
    const Dims& bias = c.input(2);
    if (!bias.empty() && bias.back() == c.output(0)[1] && bias.back() > 1) {
      columns.refs.push_back(in_axis(2, bias.size() - 1));
    }
    if (bias.size() == 2 && bias[0] > 1) rows.refs.push_back(in_axis(2, 0));
  }
  return {free_axis(c.input(0)[k_a], {in_axis(1, k_b), in_axis(0, k_a)}), rows, columns};
}

Cost cost(const CostContext& c) {
  const auto [m, n, k] = extents_of(c.node(), c.input(0), c.input(1));
  return {m * n * k};
}

std::string check(const Graph& graph, const Node& node) {
  if (trans_a(node)) return "its first input is transposed";
  if (attr_float(node, "alpha") != 1 || attr_float(node, "beta") != 1) return "its alpha or beta is not 1";
  std::string reason = check_constant(graph, node, 1, "weight");
  if (reason.empty()) reason = check_constant(graph, node, 2, "bias");
  if (!reason.empty()) return reason;
  if (graph.constant(node.input(1))->rank() != 2) return "its weight is not a matrix";
  return {};
}

int channel_axis(const Graph&, const Node& node) { return trans_b(node) ? 0 : 1; }

// Before opset 7 a bias of lower rank had to be marked with `broadcast`, which the shapes say as well.
void import_legacy(ImportContext& c) {
  Attrs attrs = c.attrs();
  attrs.erase("broadcast");
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.add(c.foreign().inputs, std::move(attrs));
}

void export_gemm(ExportContext& c) {
  if (c.version() < 11 && !c.node().input(2).valid()) c.unsupported("its bias is left out, which needs opset 11");
  export_compute(c);
}

std::vector<Sample> samples() {
  return {
      {.name = "plain", .inputs = {random_input({5, 7}), random_weight({7, 3}), random_weight({3})}},
      {.name = "trans_b",
       .inputs = {random_input({3, 13}), random_weight({11, 13}), random_weight({11})},
       .attrs = {{"transB", int64_t{1}}}},
      {.name = "trans_a", .inputs = {random_input({7, 5}), random_weight({7, 3})}, .attrs = {{"transA", int64_t{1}}}},
      {.name = "alpha_beta",
       .inputs = {random_input({5, 7}), random_weight({3, 7}), random_weight({5, 1})},
       .attrs = {{"alpha", 0.5}, {"beta", 1.25}, {"transB", int64_t{1}}}},
      {.name = "full_bias", .inputs = {random_input({5, 7}), random_weight({7, 3}), random_input({5, 3})}},
      {.name = "scalar_bias", .inputs = {random_input({5, 7}), random_input({7, 3}), random_weight({})}},
  };
}

}  // namespace

void add_gemm_op(OpTable& table) {
  table.add({
      .name = "gemm",
      .doc = "Product of two matrices with factors, transpositions and a bias: alpha a b + beta c.",
      .inputs = {{"a"}, {"b", Role::kWeight}, {"c", Role::kBias, true}},
      .outputs = {{"y"}},
      .attrs = {float_attr("alpha", 1), float_attr("beta", 1), int_attr("transA", 0), int_attr("transB", 0),
                int_attr("x_offset", 0)},
      .infer = infer,
      .run = run,
      .lower = lower,
      .quant = QuantRule::compute({.weight_port = 1, .bias_port = 2, .check = check, .channel_axis_of = channel_axis}),
      .axes = axes,
      .cost = cost,
      .spellings = {onnx("Gemm", 7, kAllVersions, nullptr, export_gemm),
                    onnx("Gemm", 1, 6, import_legacy, export_gemm)},
      .samples = samples,
  });
}

}  // namespace amct

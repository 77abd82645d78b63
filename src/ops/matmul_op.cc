// Matrix product in numpy's sense: y[…, i, j] = sum over k of a[…, i, k] b[…, k, j], batch axes broadcast.
#include <fmt/core.h>

#include <algorithm>

#include "kernels/dnnl/matmul.h"
#include "ops/compute_row.h"
#include "ops/integer_compute.h"
#include "ops/product.h"

namespace amct {
namespace {

DType output_type(const InferContext& c) {
  const DType dtype = c.dtype(0);
  if (!is_integer_compute(dtype)) return dtype;
  const Shape& a = c.shape(0);
  const Dim depth = a.ranked() && a.rank() > 0 ? a[a.rank() - 1] : Dim();
  return integer_sum_type(dtype, depth.is_fixed() ? std::optional(depth.extent()) : std::nullopt, false, nullptr);
}

// Shape without the last `count` axes.
Shape without_last(const Shape& shape, size_t count) {
  std::vector<Dim> dims = shape.dims();
  dims.resize(dims.size() > count ? dims.size() - count : 0);
  return Shape(std::move(dims));
}

void infer(InferContext& c) {
  expect_operands_of_input_type(c);
  const Shape& a = c.shape(0);
  const Shape& b = c.shape(1);
  if (!a.ranked() || !b.ranked()) return c.set_output(0, output_type(c), Shape());
  if (a.rank() == 0 || b.rank() == 0) c.fail("an operand is a scalar");
  const Dim k_a = a[a.rank() - 1];
  const Dim k_b = b[b.rank() == 1 ? 0 : b.rank() - 2];
  if (k_a.is_fixed() && k_b.is_fixed() && k_a.extent() != k_b.extent()) {
    c.fail(fmt::format("shapes {} and {} do not multiply", a.to_string(), b.to_string()));
  }
  const auto batch = broadcast(without_last(a, 2), without_last(b, 2));
  if (!batch) c.fail(fmt::format("batch axes of {} and {} do not broadcast", a.to_string(), b.to_string()));
  std::vector<Dim> dims = batch->dims();
  if (a.rank() > 1) dims.push_back(a[a.rank() - 2]);
  if (b.rank() > 1) dims.push_back(b[b.rank() - 1]);
  c.set_output(0, output_type(c), Shape(std::move(dims)));
}

void run(RunContext& c) {
  if (is_integer_compute(c.input(0).dtype)) return run_integer_matmul(c);
  run_product(product_shape(c.input(0).dims, c.input(1).dims), c.input(0), c.input(1), c.output(0), c.threads());
}

std::unique_ptr<Step> lower(const LowerContext& c) {
  if (is_integer_compute(c.input(0).dtype)) return lower_integer_matmul(c);
  if (c.input(0).dtype != DType::kFloat32) return nullptr;
  const ProductShape shape = product_shape(c.input(0).dims, c.input(1).dims);
  const auto dims = [](Dims batch, int64_t rows, int64_t columns) {
    batch.push_back(rows);
    batch.push_back(columns);
    return batch;
  };
  dnn::MatmulSpec spec{.a_dims = dims(shape.a_batch, shape.m, shape.k),
                       .b_dims = dims(shape.b_batch, shape.k, shape.n),
                       .dst_dims = dims(shape.batch, shape.m, shape.n),
                       .b = c.packs_products() ? constant_of(c, 1) : Tensor(),
                       .threads = c.threads()};
  if (element_count(shape.b_batch) == 1) {  // one matrix for the whole batch: a single product
    const int64_t rows = element_count(shape.batch) * shape.m;
    spec.a_dims = {rows, shape.k};
    spec.b_dims = {shape.k, shape.n};
    spec.dst_dims = {rows, shape.n};
  }
  return lower_kernel(c, {0, 1, c.input_count()}, [&](const std::vector<dnn::PostOp>& post_ops) {
    spec.post_ops = post_ops;
    return dnn::make_matmul(spec);
  });
}

// Rows of a, columns of b and batch axes pass through; the common axis is contracted.
std::vector<AxisRelation> axes(const AxesContext& c) {
  const Dims& a = c.input(0);
  const Dims& b = c.input(1);
  const Dims& y = c.output(0);
  const size_t k_b = b.size() == 1 ? 0 : b.size() - 2;
  std::vector<AxisRelation> relations{free_axis(a.back(), {in_axis(1, k_b), in_axis(0, a.size() - 1)})};
  if (a.size() > 1) {
    const size_t out = y.size() - (b.size() > 1 ? 2 : 1);
    relations.push_back(tie(y[out], {in_axis(0, a.size() - 2), out_axis(0, out)}));
  }
  if (b.size() > 1) relations.push_back(tie(y.back(), {in_axis(1, b.size() - 1), out_axis(0, y.size() - 1)}));
  const size_t batch = std::max<size_t>({a.size(), b.size(), 2}) - 2;
  for (size_t axis = 0; axis < batch; ++axis) {
    AxisRelation relation = tie(y[axis], {out_axis(0, axis)});
    for (size_t port = 0; port < 2; ++port) {
      const size_t own = c.input(port).size() > 2 ? c.input(port).size() - 2 : 0;
      if (axis + own < batch) continue;
      const size_t at = axis + own - batch;
      if (c.input(port)[at] == y[axis]) relation.refs.push_back(in_axis(port, at));
    }
    if (y[axis] > 1) relations.push_back(std::move(relation));
  }
  return relations;
}

Cost cost(const CostContext& c) { return {element_count(c.output(0)) * c.input(0).back()}; }

// 3-d weights are several matrices with one scale; like 2-d ones they are quantized per tensor. Two activations are
// multiplied as matrices, both in symmetric integers.
std::string check(const Graph& graph, const Node& node) {
  const Tensor* weight = graph.constant(node.input(1));
  if (weight == nullptr) {
    for (const ValueId input : node.inputs) {
      const TensorType& type = graph.value(input).type;
      if (type.dtype != DType::kFloat32 && type.dtype != DType::kUndefined) {
        return fmt::format("both its inputs are computed, in {}", name_of(type.dtype));
      }
      if (!type.shape.ranked() || type.shape.rank() < 2) return "both its inputs are computed and no matrices";
    }
    return {};
  }
  if (weight->rank() != 2 && weight->rank() != 3) return fmt::format("its weight has rank {}", weight->rank());
  return {};
}

int last_axis(const Graph& graph, const Node& node) {
  const Tensor* weight = graph.constant(node.input(1));
  return weight != nullptr ? static_cast<int>(weight->rank()) - 1 : 1;
}

bool is_of_activations(const Graph& graph, const Node& node) { return graph.constant(node.input(1)) == nullptr; }

std::vector<Sample> samples() {
  return {
      {.name = "2d", .inputs = {random_input({5, 7}), random_weight({7, 3})}},
      {.name = "batch_times_weight", .inputs = {random_input({2, 3, 5, 7}), random_weight({7, 11})}},
      {.name = "batches", .inputs = {random_input({2, 3, 5, 7}), random_input({2, 3, 7, 9})}},
      {.name = "broadcast_batches", .inputs = {random_input({3, 1, 5, 7}), random_input({2, 7, 3})}},
      {.name = "weight_3d", .inputs = {random_input({3, 5, 7}), random_weight({3, 7, 2})}},
      {.name = "vector_left", .inputs = {random_input({7}), random_input({2, 7, 3})}},
      {.name = "vector_right", .inputs = {random_input({2, 5, 7}), random_input({7})}},
      {.name = "vectors", .inputs = {random_input({7}), random_input({7})}},
  };
}

}  // namespace

void add_matmul_op(OpTable& table) {
  table.add({
      .name = "matmul",
      .doc = "Matrix product with broadcasting batch axes.",
      .inputs = {{"a"}, {"b", Role::kWeight}},
      .outputs = {{"y"}},
      .attrs = {int_attr("x_offset", 0)},
      .infer = infer,
      .run = run,
      .lower = lower,
      .quant = QuantRule::compute(
          {.weight_port = 1, .check = check, .channel_axis_of = last_axis, .symmetric_only_of = is_of_activations}),
      .axes = axes,
      .cost = cost,
      .spellings = {onnx("MatMul", 1, kAllVersions, nullptr, export_compute)},
      .samples = samples,
  });
}

}  // namespace amct

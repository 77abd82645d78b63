// MatMulInteger and QLinearMatMul of ONNX: the product of matrices of 8-bit integers less their zero points; the second
// one requantizes it: y = sat(round(sum * (a_scale * b_scale / y_scale)) + y_zero_point).
#include <fmt/format.h>

#include <algorithm>

#include "ops/product.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

// Where the operands stand among the inputs.
struct Ports {
  size_t a, b, a_zero, b_zero;
};
constexpr Ports kIntegerPorts{0, 1, 2, 3};
constexpr Ports kLinearPorts{0, 3, 2, 5};

void infer_product(InferContext& c, const Ports& ports, DType dtype) {
  check_8_bits(c, ports.a);
  check_8_bits(c, ports.b);
  const auto a = c.shape(ports.a).fixed();
  const auto b = c.shape(ports.b).fixed();
  if (!a || !b) {
    const bool ranked = c.shape(ports.a).ranked() && c.shape(ports.b).ranked();
    const size_t rank = ranked ? std::max(c.shape(ports.a).rank(), c.shape(ports.b).rank()) : 0;
    return c.set_output(0, dtype, ranked && rank >= 2 ? Shape::of_rank(rank) : Shape());
  }
  if (a->empty() || b->empty() || a->back() != (b->size() == 1 ? (*b)[0] : (*b)[b->size() - 2])) {
    c.fail(fmt::format("shapes {} and {} do not multiply", to_string(*a), to_string(*b)));
  }
  const ProductShape shape = product_shape(*a, *b);
  for (size_t i = 0; i < shape.batch.size(); ++i) {
    const int64_t extents[] = {shape.a_batch[i], shape.b_batch[i]};
    for (const int64_t extent : extents) {
      if (extent != 1 && extent != shape.batch[i]) {
        c.fail(fmt::format("batch axes of {} and {} do not broadcast", to_string(*a), to_string(*b)));
      }
    }
  }
  Dims y = shape.batch;
  if (a->size() > 1) y.push_back(shape.m);
  if (b->size() > 1) y.push_back(shape.n);
  c.set_output(0, dtype, Shape::of(y));
}

// A parameter that is one value, one for each of `count` rows or columns, or one for each of every matrix.
template <typename T>
T parameter(const std::vector<T>& values, int64_t matrix, int64_t index, int64_t count, T none) {
  if (values.empty()) return none;
  if (values.size() == 1) return values[0];
  const auto size = static_cast<int64_t>(values.size());
  return values[static_cast<size_t>((size == count ? index : matrix * count + index) % size)];
}

// Calls store(matrix of y, row, column, sum) for every result.
template <typename F>
void multiply(const RunContext& c, const Ports& ports, F&& store) {
  const ProductShape shape = product_shape(c.input(ports.a).dims, c.input(ports.b).dims);
  const std::vector<int32_t> a = integers_of(c.input(ports.a)), b = integers_of(c.input(ports.b));
  const auto zeros = [&](size_t port) { return c.has(port) ? integers_of(c.input(port)) : std::vector<int32_t>(); };
  const std::vector<int32_t> a_zero = zeros(ports.a_zero), b_zero = zeros(ports.b_zero);
  std::vector<int32_t> row(static_cast<size_t>(shape.n));
  for_each_matrix(shape, [&](int64_t to, int64_t from_a, int64_t from_b) {
    for (int64_t i = 0; i < shape.m; ++i) {
      std::fill(row.begin(), row.end(), 0);
      for (int64_t l = 0; l < shape.k; ++l) {
        const int32_t x = a[(from_a * shape.m + i) * shape.k + l] - parameter(a_zero, from_a, i, shape.m, 0);
        const int32_t* w = b.data() + (from_b * shape.k + l) * shape.n;
        for (int64_t j = 0; j < shape.n; ++j) row[j] += x * (w[j] - parameter(b_zero, from_b, j, shape.n, 0));
      }
      for (int64_t j = 0; j < shape.n; ++j) store(shape, to, from_a, from_b, i, j, row[j]);
    }
  });
}

void run_integer(RunContext& c) {
  int32_t* y = c.output(0).as<int32_t>();
  multiply(c, kIntegerPorts,
           [&](const ProductShape& s, int64_t to, int64_t, int64_t, int64_t i, int64_t j, int32_t sum) {
             y[(to * s.m + i) * s.n + j] = sum;
           });
}

void run_linear(RunContext& c) {
  const std::vector<float> a_scale = floats_of(c.input(1)), b_scale = floats_of(c.input(4)),
                           y_scale = floats_of(c.input(6));
  const std::vector<int32_t> y_zero = integers_of(c.input(7));
  multiply(c, kLinearPorts,
           [&](const ProductShape& s, int64_t to, int64_t from_a, int64_t from_b, int64_t i, int64_t j, int32_t sum) {
             const float scale = parameter(a_scale, from_a, i, s.m, 1.0f) * parameter(b_scale, from_b, j, s.n, 1.0f) /
                                 parameter(y_scale, to, i, s.m, 1.0f);
             store_quantized(static_cast<float>(sum) * scale, parameter(y_zero, to, i, s.m, 0), c.output(0),
                             (to * s.m + i) * s.n + j);
           });
}

SampleInput scalar(float value) { return fixed(Tensor::scalar<float>(value)); }
SampleInput zero(uint8_t value) { return fixed(Tensor::scalar<uint8_t>(value)); }
SampleInput bytes(Dims dims) { return random_input(std::move(dims), 0, 255, DType::kUInt8); }

std::vector<Sample> integer_samples() {
  return {{.name = "plain", .inputs = {bytes({5, 7}), bytes({7, 3}), zero(12), zero(0)}},
          {.name = "signed_weights",
           .inputs = {bytes({2, 5, 7}), random_weight({7, 3}, -128, 127, DType::kInt8), zero(129)}}};
}

std::vector<Sample> linear_samples() {
  return {{.name = "plain",
           .inputs = {bytes({5, 7}), scalar(0.02f), zero(113), bytes({7, 3}), scalar(0.01f), zero(114), scalar(0.11f),
                      zero(118)}},
          {.name = "batches",
           .inputs = {bytes({2, 5, 7}), scalar(0.02f), zero(113), bytes({2, 7, 3}), scalar(0.01f), zero(114),
                      scalar(0.11f), zero(118)}}};
}

}  // namespace

void add_qlinear_matmul_op(OpTable& table) {
  const auto parameter = [](std::string name, bool optional = false) {
    return InputPort{.name = std::move(name), .role = Role::kParameter, .optional = optional};
  };
  table.add({.name = "matmul_integer",
             .doc = "Product of matrices of 8-bit integers less their zero points, in int32.",
             .inputs = {{.name = "a"},
                        {.name = "b", .role = Role::kWeight},
                        parameter("a_zero_point", true),
                        parameter("b_zero_point", true)},
             .outputs = {{.name = "y"}},
             .infer = [](InferContext& c) { infer_product(c, kIntegerPorts, DType::kInt32); },
             .run = run_integer,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("MatMulInteger", 10)},
             .samples = integer_samples});
  table.add({.name = "qlinear_matmul",
             .doc = "Product of quantized matrices, quantized again.",
             .inputs = {{.name = "a"},
                        parameter("a_scale"),
                        parameter("a_zero_point"),
                        {.name = "b", .role = Role::kWeight},
                        parameter("b_scale"),
                        parameter("b_zero_point"),
                        parameter("y_scale"),
                        parameter("y_zero_point")},
             .outputs = {{.name = "y"}},
             .infer = [](InferContext& c) { infer_product(c, kLinearPorts, c.dtype(7)); },
             .run = run_linear,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("QLinearMatMul", 10)},
             .samples = linear_samples});
}

}  // namespace amct

// MatMulInteger and QLinearMatMul of ONNX: the product of matrices of 8-bit integers less their zero points; the second
// one requantizes it: y = sat(round(sum * (a_scale * b_scale / y_scale)) + y_zero_point).
#include <fmt/core.h>

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "base/checked_math.h"
#include "ops/integer_compute.h"
#include "ops/integer_epilogue.h"
#include "ops/integer_step.h"
#include "ops/product.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

// Where the operands and their parameters stand among the inputs.
constexpr size_t kNone = std::numeric_limits<size_t>::max();
struct Ports {
  size_t a, b, a_zero, b_zero;
  size_t a_scale = kNone, b_scale = kNone, y_scale = kNone, y_zero = kNone;
};
constexpr Ports kIntegerPorts{.a = 0, .b = 1, .a_zero = 2, .b_zero = 3};
constexpr Ports kLinearPorts{
    .a = 0, .b = 3, .a_zero = 2, .b_zero = 5, .a_scale = 1, .b_scale = 4, .y_scale = 6, .y_zero = 7};

void check_types(const InferContext& c, const Ports& ports) {
  check_8_bits(c, ports.a);
  check_8_bits(c, ports.b);
  check_8_bits(c, ports.y_zero);
  check_zero_type(c, ports.a_zero, ports.a);
  check_zero_type(c, ports.b_zero, ports.b);
  for (const size_t port : {ports.a_scale, ports.b_scale, ports.y_scale}) check_scale_type(c, port);
}

// A parameter is one value, one for each row (of a and y) or column (of b), or one for each of every matrix.
void check_counts(const InferContext& c, const Ports& ports, const ProductShape& shape) {
  const auto each = [&](int64_t count, Dims batch, std::initializer_list<size_t> at) {
    batch.push_back(count);
    const int64_t all = checked_product(batch).value_or(1);
    for (const size_t port : at) check_entries(c, port, {1, count, all});
  };
  each(shape.m, shape.a_batch, {ports.a_scale, ports.a_zero});
  each(shape.n, shape.b_batch, {ports.b_scale, ports.b_zero});
  each(shape.m, shape.batch, {ports.y_scale, ports.y_zero});
}

void infer_product(InferContext& c, const Ports& ports, DType dtype) {
  check_types(c, ports);
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
  check_counts(c, ports, shape);
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

// The sums of one matrix with a zero point for every row of a.
void multiply_by_rows(const ProductShape& shape, const int32_t* a, const std::vector<int32_t>& a_zero, int64_t from_a,
                      const int32_t* b, const std::vector<int32_t>& b_zero, int64_t from_b, int32_t* sums) {
  for (int64_t i = 0; i < shape.m; ++i, sums += shape.n) {
    std::fill_n(sums, shape.n, 0);
    for (int64_t l = 0; l < shape.k; ++l) {
      const int32_t x = a[i * shape.k + l] - parameter(a_zero, from_a, i, shape.m, 0);
      const int32_t* w = b + l * shape.n;
      for (int64_t j = 0; j < shape.n; ++j) {  // modulo 2^32
        const int32_t product = x * (w[j] - parameter(b_zero, from_b, j, shape.n, 0));
        sums[j] = static_cast<int32_t>(static_cast<uint32_t>(sums[j]) + static_cast<uint32_t>(product));
      }
    }
  }
}

// Calls store(matrix of y, row, column, sum) for every result.
template <typename F>
void multiply(const RunContext& c, const Ports& ports, F&& store) {
  const TensorView& a = c.input(ports.a);
  const TensorView& b = c.input(ports.b);
  const ProductShape shape = product_shape(a.dims, b.dims);
  const auto zeros = [&](size_t port) { return c.has(port) ? integers_of(c.input(port)) : std::vector<int32_t>(); };
  const std::vector<int32_t> a_zero = zeros(ports.a_zero), b_zero = zeros(ports.b_zero);
  const bool by_rows = a_zero.size() > 1;
  const std::vector<int32_t> all_a = by_rows ? integers_of(a) : std::vector<int32_t>();
  const std::vector<int32_t> all_b = by_rows ? integers_of(b) : std::vector<int32_t>();
  std::vector<int32_t> sums(static_cast<size_t>(shape.m * shape.n)), columns(static_cast<size_t>(shape.n));
  for_each_matrix(shape, [&](int64_t to, int64_t from_a, int64_t from_b) {
    if (by_rows) {
      multiply_by_rows(shape, all_a.data() + from_a * shape.m * shape.k, a_zero, from_a,
                       all_b.data() + from_b * shape.k * shape.n, b_zero, from_b, sums.data());
    } else {
      for (int64_t j = 0; j < shape.n; ++j) columns[static_cast<size_t>(j)] = parameter(b_zero, from_b, j, shape.n, 0);
      const auto* matrix = static_cast<const uint8_t*>(b.data) + from_b * shape.k * shape.n;
      const IntConv product =
          int_product({matrix, b.dtype, shape.n, shape.k, 1, shape.n, columns.data()}, shape.m, {.bytes_only = true});
      const auto* rows = static_cast<const uint8_t*>(a.data) + from_a * shape.m * shape.k;
      product.run({rows, integer_type(a.dtype), a_zero.empty() ? 0 : a_zero[0]}, nullptr, sums.data(), c.threads());
    }
    for (int64_t i = 0; i < shape.m; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) store(to, from_a, from_b, i, j, sums[static_cast<size_t>(i * shape.n + j)]);
    }
  });
}

void run_integer(RunContext& c) {
  int32_t* y = c.output(0).as<int32_t>();
  multiply(c, kIntegerPorts, [&](int64_t, int64_t, int64_t, int64_t, int64_t, int32_t sum) { *y++ = sum; });
}

void run_linear(RunContext& c) {
  const std::vector<float> a_scale = floats_of(c.input(1)), b_scale = floats_of(c.input(4)),
                           y_scale = floats_of(c.input(6));
  const std::vector<int32_t> y_zero = integers_of(c.input(7));
  const ProductShape s = product_shape(c.input(kLinearPorts.a).dims, c.input(kLinearPorts.b).dims);
  int64_t at = 0;
  multiply(c, kLinearPorts, [&](int64_t to, int64_t from_a, int64_t from_b, int64_t i, int64_t j, int32_t sum) {
    const float scale = parameter(a_scale, from_a, i, s.m, 1.0f) * parameter(b_scale, from_b, j, s.n, 1.0f) /
                        parameter(y_scale, to, i, s.m, 1.0f);
    store_quantized(static_cast<float>(sum) * scale, parameter(y_zero, to, i, s.m, 0), c.output(0), at++);
  });
}

// `own`: the stages behind the sums, with a scale for each column or one for all.
std::unique_ptr<Step> lower_product(const LowerContext& c, const Ports& ports, std::vector<IntStage> own) {
  const auto& a = c.input(ports.a);
  const auto& b = c.input(ports.b);
  const ProductShape shape = product_shape(a.dims, b.dims);
  const bool one_zero = !c.has(ports.a_zero) || element_count(c.input(ports.a_zero).dims) == 1;
  const bool known_zero = !c.has(ports.b_zero) || c.input(ports.b_zero).constant != nullptr;
  const bool plain = a.layout == Layout::kPlain && c.output(0).layout == Layout::kPlain && a.dims.size() > 1;
  if (b.constant == nullptr || b.dims.size() != 2 || !one_zero || !known_zero || !plain) return nullptr;
  std::vector<int32_t> zeros =
      c.has(ports.b_zero) ? integers_of(c.input(ports.b_zero).constant->view()) : std::vector<int32_t>(1, 0);
  if (zeros.size() == 1) zeros.resize(static_cast<size_t>(shape.n), zeros[0]);
  if (static_cast<int64_t>(zeros.size()) != shape.n) return nullptr;
  auto epilogue = integer_epilogue(c, shape.n, std::move(own));
  if (epilogue == nullptr) return nullptr;
  const Tensor weights = b.constant->resident();
  IntConv product = int_product({weights.view().data, b.dtype, shape.n, shape.k, 1, shape.n, zeros.data()},
                                element_count(shape.batch) * shape.m, {.bytes_only = true});
  return make_integer_step(c, std::move(product), quantized_operands(c, ports.a, ports.a_zero), std::move(epilogue));
}

// An epilogue with a scale for each index of axis 1 would mistake it for the columns, so that none is taken.
std::unique_ptr<Step> lower_integer(const LowerContext& c) {
  return c.epilogues().empty() ? lower_product(c, kIntegerPorts, {}) : nullptr;
}

std::unique_ptr<Step> lower_linear(const LowerContext& c) {
  for (const size_t port : {1, 4, 6, 7}) {
    if (c.input(port).constant == nullptr) return nullptr;
  }
  const auto floats = [&](size_t port) { return floats_of(c.input(port).constant->view()); };
  const std::vector<float> a_scale = floats(1), y_scale = floats(6);
  const std::vector<int32_t> y_zero = integers_of(c.input(7).constant->view());
  if (a_scale.size() != 1 || y_scale.size() != 1 || y_zero.size() != 1) return nullptr;
  std::vector<float> scales = floats(4);
  for (float& scale : scales) scale = a_scale[0] * scale / y_scale[0];
  return lower_product(c, kLinearPorts, requantize_stages(std::move(scales), y_zero[0], c.output(0).dtype));
}

std::vector<Sample> integer_samples() {
  return {{.name = "plain", .inputs = {sample_bytes({5, 7}), sample_bytes({7, 3}), sample_zero(12), sample_zero(0)}},
          {.name = "signed_weights",
           .inputs = {sample_bytes({2, 5, 7}), random_weight({7, 3}, -128, 127, DType::kInt8), sample_zero(129)}},
          {.name = "no_rows",
           .inputs = {sample_bytes({0, 7}), random_weight({7, 3}, 0, 255, DType::kUInt8), sample_zero(12)}}};
}

std::vector<Sample> linear_samples() {
  return {{.name = "plain",
           .inputs = {sample_bytes({5, 7}), sample_scale(0.02f), sample_zero(113), sample_bytes({7, 3}),
                      sample_scale(0.01f), sample_zero(114), sample_scale(0.11f), sample_zero(118)}},
          {.name = "batches",
           .inputs = {sample_bytes({2, 5, 7}), sample_scale(0.02f), sample_zero(113), sample_bytes({2, 7, 3}),
                      sample_scale(0.01f), sample_zero(114), sample_scale(0.11f), sample_zero(118)}},
          {.name = "no_rows",
           .inputs = {sample_bytes({0, 7}), sample_scale(0.02f), sample_zero(113),
                      random_weight({7, 3}, 0, 255, DType::kUInt8), sample_scale(0.01f), sample_zero(114),
                      sample_scale(0.11f), sample_zero(118)}}};
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
             .lower = lower_integer,
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
             .lower = lower_linear,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes_none,
             .spellings = {onnx("QLinearMatMul", 10)},
             .samples = linear_samples});
}

}  // namespace amct

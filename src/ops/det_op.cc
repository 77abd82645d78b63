// Determinants of square matrices (…, n, n), by Gaussian elimination with row pivots in double; 1 for n = 0.
#include <fmt/core.h>

#include <cmath>

#include "ops/elementwise.h"
#include "ops/movement.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  expect_type(c, 0, is_float_type);
  const Shape& x = c.shape(0);
  if (!x.ranked()) return c.set_output(0, c.dtype(0), Shape());
  const size_t rank = x.rank();
  if (rank < 2) c.fail(fmt::format("shape {} holds no matrices", x.to_string()));
  if (x[rank - 1].is_fixed() && x[rank - 2].is_fixed() && x[rank - 1] != x[rank - 2]) {
    c.fail(fmt::format("matrices of shape {} are not square", x.to_string()));
  }
  c.set_output(0, c.dtype(0), Shape({x.dims().begin(), x.dims().end() - 2}));
}

// `a` (n, n) is overwritten.
double determinant(std::vector<double>& a, size_t n) {
  double result = 1;
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i) {
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    }
    if (a[pivot * n + k] == 0) return 0;
    if (pivot != k) {
      for (size_t j = k; j < n; ++j) std::swap(a[pivot * n + j], a[k * n + j]);
      result = -result;
    }
    result *= a[k * n + k];
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (size_t j = k + 1; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
    }
  }
  return result;
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const auto n = static_cast<size_t>(x.dims.back());
  const int64_t count = c.output(0).size();
  visit_floats(x.dtype, [&]<typename T>(Tag<T>) {
    std::vector<double> matrix(n * n);
    for (int64_t m = 0; m < count; ++m) {
      const T* from = x.as<T>() + m * static_cast<int64_t>(n * n);
      for (size_t i = 0; i < n * n; ++i) matrix[i] = static_cast<double>(static_cast<Compute<T>>(from[i]));
      c.output(0).as<T>()[m] = static_cast<T>(static_cast<Compute<T>>(determinant(matrix, n)));
    }
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  const size_t batch = c.output(0).size();
  for (size_t i = 0; i < batch; ++i) add_tie(relations, c.input(0)[i], {in_axis(0, i), out_axis(0, i)});
  for (size_t i = batch; i < batch + 2; ++i)
    relations.push_back(lock(in_axis(0, i), "a determinant needs all entries"));
  return relations;
}

std::vector<Sample> samples() {
  return {
      {.name = "one", .inputs = {random_input({3, 3})}},
      {.name = "batch", .inputs = {random_input({2, 3, 5, 5})}},
      {.name = "pivots", .inputs = {fixed(Tensor::of<float>({2, 2}, {0, 2, 3, 1}))}},
      {.name = "singular", .inputs = {fixed(Tensor::of<float>({2, 2}, {1, 2, 2, 4}))}},
      {.name = "float64", .inputs = {random_input({4, 4}, -1, 1, DType::kFloat64)}},
  };
}

}  // namespace

void add_det_op(OpTable& table) {
  table.add({.name = "det",
             .doc = "Determinants of square matrices.",
             .inputs = {{"x"}},
             .outputs = {{"y"}},
             .infer = infer,
             .run = run,
             .quant = QuantRule::keep_float("a determinant has a range of its own"),
             .axes = axes,
             .spellings = onnx_since("Det", 11),
             .samples = samples});
}

}  // namespace amct

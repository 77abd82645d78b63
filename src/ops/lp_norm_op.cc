// Normalization to unit length: y = x / (sum of |x|^p)^(1/p) along one axis; zeros where the length is 0.
#include <fmt/core.h>

#include <cmath>

#include "ops/norm.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  infer_norm(c, 1);
  const int64_t p = attr_int(c.node(), "p");
  if (p != 1 && p != 2) c.fail(fmt::format("attribute 'p' is {}; 1 and 2 are known", p));
  if (c.shape(0).ranked()) normalize_axis(attr_int(c.node(), "axis"), c.shape(0).rank());
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const size_t rank = x.dims.size();
  const auto axis = static_cast<size_t>(normalize_axis(attr_int(c.node(), "axis"), rank));
  const AxisView view = axis_view(x.dims, c.memory_axis(axis, rank));
  const bool square = attr_int(c.node(), "p") == 2;
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
    using C = Compute<T>;
#pragma omp parallel for num_threads(c.threads())
    for (int64_t row = 0; row < view.outer * view.inner; ++row) {
      const int64_t base = row / view.inner * view.extent * view.inner + row % view.inner;
      const T* in = x.as<T>() + base;
      T* out = c.output(0).as<T>() + base;
      double sum = 0;
      for (int64_t i = 0; i < view.extent; ++i) {
        const double value = static_cast<C>(in[i * view.inner]);
        sum += square ? value * value : std::abs(value);
      }
      const double length = square ? std::sqrt(sum) : sum;
      for (int64_t i = 0; i < view.extent; ++i) {
        const double value = static_cast<C>(in[i * view.inner]);
        out[i * view.inner] = static_cast<T>(static_cast<C>(length == 0 ? 0.0 : value / length));
      }
    }
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  const auto normalized = static_cast<size_t>(normalize_axis(attr_int(c.node(), "axis"), c.input(0).size()));
  return axes_norm(
      c, [normalized](size_t axis) { return axis == normalized; }, "lengths are taken along it");
}

std::vector<Sample> samples() {
  return {
      {.name = "last", .inputs = {random_input({2, 3, 5})}},
      {.name = "channels", .inputs = {random_input({2, 5, 3, 4})}, .attrs = {{"axis", int64_t{1}}, {"p", int64_t{1}}}},
  };
}

}  // namespace

void add_lp_norm_op(OpTable& table) {
  table.add({
      .name = "lp_norm",
      .doc = "Scales vectors along one axis to length 1.",
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .attrs = {int_attr("axis", -1), int_attr("p", 2)},
      .infer = infer,
      .run = run,
      .layout = LayoutRule::kFollow,
      .quant = QuantRule::keep_float("its factor depends on the sample"),
      .axes = axes,
      .spellings = {onnx("LpNormalization")},
      .samples = samples,
  });
}

}  // namespace amct

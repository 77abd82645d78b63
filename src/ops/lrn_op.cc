// Local response normalization across channels:
// y[c] = x[c] / (bias + alpha / size * sum of x[j]^2 over j in [c - floor((size-1)/2), c + ceil((size-1)/2)])^beta.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/norm.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  infer_norm(c, 2);
  const int64_t size = attr_int(c.node(), "size");
  if (size < 1) c.fail(fmt::format("attribute 'size' is {}", size));
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const AxisView view = axis_view(x.dims, c.memory_axis(1, x.dims.size()));
  const int64_t size = std::min(attr_int(c.node(), "size"), 2 * view.extent + 1);  // no wider window adds anything
  const double alpha = attr_float(c.node(), "alpha") / static_cast<double>(attr_int(c.node(), "size"));
  const double beta = attr_float(c.node(), "beta");
  const double bias = attr_float(c.node(), "bias");
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
    const T* in = x.as<T>();
    T* out = c.output(0).as<T>();
#pragma omp parallel for num_threads(c.threads())
    for (int64_t row = 0; row < view.outer * view.inner; ++row) {
      const int64_t base = row / view.inner * view.extent * view.inner + row % view.inner;
      const auto at = [&](int64_t channel) {
        return static_cast<double>(static_cast<Compute<T>>(in[base + channel * view.inner]));
      };
      for (int64_t channel = 0; channel < view.extent; ++channel) {
        const int64_t first = std::max<int64_t>(channel - (size - 1) / 2, 0);
        const int64_t last = std::min(channel + size / 2, view.extent - 1);
        double sum = 0;
        for (int64_t j = first; j <= last; ++j) sum += at(j) * at(j);
        const double y = at(channel) / std::pow(bias + alpha * sum, beta);
        out[base + channel * view.inner] = static_cast<T>(static_cast<Compute<T>>(y));
      }
    }
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  return axes_norm(
      c, [](size_t axis) { return axis == 1; }, "neighbouring channels normalize each other");
}

std::vector<Sample> samples() {
  return {
      {.name = "odd", .inputs = {random_input({2, 7, 4, 3}, -5, 5)}, .attrs = {{"size", int64_t{5}}, {"alpha", 0.1}}},
      {.name = "even",
       .inputs = {random_input({1, 5, 3, 4}, -5, 5)},
       .attrs = {{"size", int64_t{4}}, {"alpha", 0.2}, {"beta", 0.5}, {"bias", 2.0}},
       .skip_onnx_runtime = true,
       .reason = "ONNX Runtime takes odd sizes only"},
  };
}

}  // namespace

void add_lrn_op(OpTable& table) {
  table.add({
      .name = "lrn",
      .doc = "Local response normalization across channels.",
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .attrs = {required_attr("size", AttrType::kInt), float_attr("alpha", 0.0001), float_attr("beta", 0.75),
                float_attr("bias", 1)},
      .infer = infer,
      .run = run,
      .layout = LayoutRule::kFollow,
      .quant = QuantRule::keep_float("it divides by a power of a sum of squares"),
      .axes = axes,
      .spellings = {onnx("LRN")},
      .samples = samples,
  });
}

}  // namespace amct

// Instance normalization: every channel of every sample by its own mean and variance over the image, then scale and
// bias.
#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/norm.h"

namespace amct {
namespace {

void infer(InferContext& c) {
  infer_norm(c, 3);
  check_channel_parameter(c, 1);
  check_channel_parameter(c, 2);
}

// One sample as (positions, channels): element (p, c) lies at p * position_stride + c * channel_stride. Elements are
// visited in memory order.
struct Image {
  int64_t channels, positions, channel_stride, position_stride;
  template <typename F>
  void for_each(F&& f) const {
    const bool by_channel = position_stride == 1;
    for (int64_t a = 0; a < (by_channel ? channels : positions); ++a) {
      for (int64_t b = 0; b < (by_channel ? positions : channels); ++b) {
        by_channel ? f(a, a * channel_stride + b) : f(b, a * position_stride + b);
      }
    }
  }
};

template <typename T>
void normalize(const Image& image, double epsilon, const std::vector<double>& scale, const std::vector<double>& bias,
               const T* x, T* y) {
  using C = Compute<T>;
  const auto channels = static_cast<size_t>(image.channels);
  const auto count = static_cast<double>(image.positions);
  std::vector<double> mean(channels), variance(channels), factor(channels);
  image.for_each([&](int64_t c, int64_t at) { mean[c] += static_cast<C>(x[at]); });
  for (double& value : mean) value /= count;
  image.for_each([&](int64_t c, int64_t at) {
    const double difference = static_cast<C>(x[at]) - mean[c];
    variance[c] += difference * difference;
  });
  for (size_t c = 0; c < channels; ++c) factor[c] = scale[c] / std::sqrt(variance[c] / count + epsilon);
  image.for_each([&](int64_t c, int64_t at) {
    y[at] = static_cast<T>(static_cast<C>((static_cast<C>(x[at]) - mean[c]) * factor[c] + bias[c]));
  });
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const bool last = c.layout() == Layout::kChannelsLast;
  const Dims logical = logical_dims(x.dims, c.layout());
  const int64_t channels = logical[1];
  int64_t positions = 1;
  for (size_t axis = 2; axis < logical.size(); ++axis) positions *= logical[axis];
  const Image image{channels, positions, last ? 1 : positions, last ? channels : 1};
  const std::vector<double> scale = reference::widen(c.input(1));
  const std::vector<double> bias = reference::widen(c.input(2));
  const double epsilon = attr_float(c.node(), "epsilon");
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
#pragma omp parallel for num_threads(c.threads())
    for (int64_t n = 0; n < logical[0]; ++n) {
      const int64_t offset = n * channels * positions;
      normalize<T>(image, epsilon, scale, bias, x.as<T>() + offset, c.output(0).as<T>() + offset);
    }
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  return axes_norm(c, [](size_t axis) { return axis >= 2; }, "statistics run over it", {1, 2});
}

std::vector<Sample> samples() {
  return {
      {.name = "2d", .inputs = {random_input({2, 5, 4, 3}), random_weight({5}), random_weight({5})}},
      {.name = "1d",
       .inputs = {random_input({3, 3, 11}), random_weight({3}), random_weight({3})},
       .attrs = {{"epsilon", 0.01}}},
      {.name = "3d", .inputs = {random_input({1, 3, 2, 4, 5}), random_weight({3}), random_weight({3})}},
  };
}

}  // namespace

void add_instance_norm_op(OpTable& table) {
  Spelling spelling = onnx("InstanceNormalization");
  spelling.ignored_attrs = {"consumed_inputs"};
  table.add({
      .name = "instance_norm",
      .doc = "Normalizes every channel of every sample by its own mean and variance.",
      .inputs = {{"x"}, {"scale", Role::kParameter}, {"bias", Role::kParameter}},
      .outputs = {{"y"}},
      .attrs = {float_attr("epsilon", 1e-5)},
      .infer = infer,
      .run = run,
      .layout = LayoutRule::kFollow,
      .quant = QuantRule::keep_float("its statistics depend on the sample"),
      .axes = axes,
      .spellings = {spelling},
      .samples = samples,
  });
}

}  // namespace amct

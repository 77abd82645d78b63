// Batch normalization with fixed statistics: y = (x - mean) / sqrt(variance + epsilon) * scale + bias per channel.
#include <fmt/format.h>

#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/norm.h"

namespace amct {
namespace {

constexpr size_t kScale = 1, kBias = 2, kMean = 3, kVariance = 4;

void infer(InferContext& c) {
  infer_norm(c, 2);
  for (const size_t port : {kScale, kBias, kMean, kVariance}) check_channel_parameter(c, port);
}

// y = (x - mean) a + b with a and b of one channel.
template <typename T>
struct Affine {
  std::vector<Compute<T>> mean, a, b;
};

template <typename T>
Affine<T> affine_of(const RunContext& c) {
  const std::vector<double> scale = reference::widen(c.input(kScale));
  const std::vector<double> bias = reference::widen(c.input(kBias));
  const std::vector<double> mean = reference::widen(c.input(kMean));
  const std::vector<double> variance = reference::widen(c.input(kVariance));
  const double epsilon = attr_float(c.node(), "epsilon");
  Affine<T> affine;
  for (size_t i = 0; i < scale.size(); ++i) {
    affine.mean.push_back(static_cast<Compute<T>>(mean[i]));
    affine.a.push_back(static_cast<Compute<T>>(scale[i] / std::sqrt(variance[i] + epsilon)));
    affine.b.push_back(static_cast<Compute<T>>(bias[i]));
  }
  return affine;
}

template <typename T>
void normalize(const AxisView& view, const Affine<T>& affine, const T* x, T* y, int threads) {
  using C = Compute<T>;
  const C *mean = affine.mean.data(), *a = affine.a.data(), *b = affine.b.data();
  if (view.inner == 1) {
#pragma omp parallel for num_threads(threads)
    for (int64_t o = 0; o < view.outer; ++o) {
      const T* in = x + o * view.extent;
      T* out = y + o * view.extent;
      for (int64_t i = 0; i < view.extent; ++i)
        out[i] = static_cast<T>((static_cast<C>(in[i]) - mean[i]) * a[i] + b[i]);
    }
    return;
  }
#pragma omp parallel for num_threads(threads)
  for (int64_t row = 0; row < view.outer * view.extent; ++row) {
    const int64_t channel = row % view.extent;
    const T* in = x + row * view.inner;
    T* out = y + row * view.inner;
    for (int64_t i = 0; i < view.inner; ++i) {
      out[i] = static_cast<T>((static_cast<C>(in[i]) - mean[channel]) * a[channel] + b[channel]);
    }
  }
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const AxisView view = axis_view(x.dims, c.memory_axis(1, x.dims.size()));
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
    normalize<T>(view, affine_of<T>(c), x.as<T>(), c.output(0).as<T>(), c.threads());
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  return axes_norm(c, [](size_t) { return false; }, {}, {kScale, kBias, kMean, kVariance});
}

// Versions differ in what they say about training: `is_test` and `spatial` (before 7 and 9), more outputs than one.
void import_batch_norm(ImportContext& c) {
  Attrs attrs = c.attrs();
  if (attrs.get<int64_t>("training_mode", 0) != 0) c.unsupported("it is in training mode");
  if (attrs.get<int64_t>("spatial", 1) != 1) c.unsupported("it normalizes every position on its own (spatial = 0)");
  const auto& outputs = c.foreign().outputs;
  for (size_t i = 1; i < outputs.size(); ++i) {
    if (!outputs[i].empty()) c.unsupported("its training outputs are used");
  }
  for (const char* name : {"training_mode", "spatial", "is_test", "consumed_inputs"}) attrs.erase(name);
  for (const auto& [name, value] : attrs.items()) {
    if (c.row().attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.graph().add_node(c.foreign().name, c.row().name, &c.row(), c.foreign().inputs, {outputs.at(0)}, std::move(attrs),
                     {c.foreign().name, c.foreign().type});
}

void export_batch_norm(ExportContext& c) {
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  Attrs attrs = c.node().attrs;
  if (c.version() < 7) attrs.set("is_test", int64_t{1});
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<Sample> samples() {
  const auto parameters = [](SampleInput x, int64_t channels) {
    return std::vector<SampleInput>{std::move(x), random_weight({channels}), random_weight({channels}),
                                    random_weight({channels}), random_weight({channels}, 0.1, 2)};
  };
  return {
      {.name = "2d", .inputs = parameters(random_input({2, 5, 4, 3}), 5)},
      {.name = "vectors", .inputs = parameters(random_input({3, 7}), 7), .attrs = {{"epsilon", 0.01}}},
      {.name = "1d", .inputs = parameters(random_input({2, 3, 11}), 3)},
      {.name = "3d", .inputs = parameters(random_input({1, 3, 2, 4, 5}), 3)},
  };
}

}  // namespace

void add_batch_norm_op(OpTable& table) {
  table.add({
      .name = "batch_norm",
      .doc = "Batch normalization with fixed statistics.",
      .inputs = {{"x"},
                 {"scale", Role::kParameter},
                 {"bias", Role::kParameter},
                 {"mean", Role::kParameter},
                 {"variance", Role::kParameter}},
      .outputs = {{"y"}},
      .attrs = {float_attr("epsilon", 1e-5), float_attr("momentum", 0.9)},
      .infer = infer,
      .run = run,
      .layout = LayoutRule::kFollow,
      .in_place = true,
      .quant = QuantRule::keep_float("a batch normalization that is not folded into a layer stays float"),
      .axes = axes,
      .spellings = {onnx("BatchNormalization", 1, kAllVersions, import_batch_norm, export_batch_norm)},
      .samples = samples,
  });
}

}  // namespace amct

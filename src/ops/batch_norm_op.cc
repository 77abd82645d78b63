// Batch normalization: y = (x - mean) / sqrt(variance + epsilon) * scale + bias per channel of axis 1.
//
// With fixed statistics, and, as a row of its own that what folds statistics into layers does not meet, in training
// mode with those of the batch, mean = E[x] and variance = E[(x - mean)^2], and
//   running = running * momentum + batch * (1 - momentum).
#include <fmt/core.h>

#include <cmath>

#include "kernels/reference/reference.h"
#include "ops/movement.h"
#include "ops/norm.h"

namespace amct {
namespace {

constexpr size_t kScale = 1, kBias = 2, kMean = 3, kVariance = 4;
constexpr int64_t kTrainingModeOpset = 14;
constexpr size_t kRunningMean = 1, kRunningVariance = 2;

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

// For both rows. Versions differ in what they say about training: `is_test` and `spatial` (before 7 and 9), more
// outputs than one.
void import_batch_norm(ImportContext& c) {
  Attrs attrs = c.attrs();
  const bool trains = attrs.get<int64_t>("training_mode", 0) != 0;
  if (attrs.get<int64_t>("spatial", 1) != 1) c.unsupported("it normalizes every position on its own (spatial = 0)");
  std::vector<std::string> outputs = c.foreign().outputs;
  for (size_t i = 1; i < outputs.size() && !trains; ++i) {
    if (!outputs[i].empty()) c.unsupported("its training outputs are used, which changed with opset 14");
  }
  outputs.resize(trains ? outputs.size() : 1);
  const OpRow& row = op_table().get(trains ? "batch_norm_training" : "batch_norm");
  for (const char* name : {"training_mode", "spatial", "is_test", "consumed_inputs"}) attrs.erase(name);
  for (const auto& [name, value] : attrs.items()) {
    if (row.attr(name) == nullptr) c.unsupported(fmt::format("attribute '{}' is not known", name));
  }
  c.graph().add_node(c.foreign().name, row.name, &row, c.foreign().inputs, outputs, std::move(attrs),
                     {c.foreign().name, c.foreign().type});
}

void export_batch_norm(ExportContext& c) {
  std::vector<std::string> inputs;
  for (const ValueId input : c.node().inputs) inputs.push_back(c.value_name(input));
  Attrs attrs = c.node().attrs;
  if (c.version() < 7) attrs.set("is_test", int64_t{1});
  c.emit(std::move(inputs), std::move(attrs));
}

std::vector<SampleInput> parameters(SampleInput x, int64_t channels) {
  return {std::move(x), random_weight({channels}), random_weight({channels}), random_weight({channels}),
          random_weight({channels}, 0.1, 2)};
}

std::vector<Sample> samples() {
  return {
      {.name = "2d", .inputs = parameters(random_input({2, 5, 4, 3}), 5)},
      {.name = "vectors", .inputs = parameters(random_input({3, 7}), 7), .attrs = {{"epsilon", 0.01}}},
      {.name = "1d", .inputs = parameters(random_input({2, 3, 11}), 3)},
      {.name = "3d", .inputs = parameters(random_input({1, 3, 2, 4, 5}), 3)},
  };
}

void infer_training(InferContext& c) {
  infer(c);
  for (const size_t port : {kRunningMean, kRunningVariance}) c.set_output(port, c.dtype(kMean), c.shape(kMean));
}

struct Statistics {
  std::vector<double> mean, variance;
};

template <typename T>
Statistics statistics_of(const AxisView& view, const T* x) {
  Statistics s{std::vector<double>(static_cast<size_t>(view.extent)),
               std::vector<double>(static_cast<size_t>(view.extent))};
  const double count = static_cast<double>(view.outer * view.inner);
  for (int64_t channel = 0; channel < view.extent; ++channel) {
    const auto add_up = [&](auto term) {
      double sum = 0;
      for (int64_t o = 0; o < view.outer; ++o) {
        const T* from = x + (o * view.extent + channel) * view.inner;
        for (int64_t i = 0; i < view.inner; ++i) sum += term(static_cast<double>(static_cast<Compute<T>>(from[i])));
      }
      return sum;
    };
    const double mean = add_up([](double value) { return value; }) / count;
    s.mean[static_cast<size_t>(channel)] = mean;
    s.variance[static_cast<size_t>(channel)] = add_up([&](double v) { return (v - mean) * (v - mean); }) / count;
  }
  return s;
}

void write_running(const RunContext& c, size_t input, size_t output, const std::vector<double>& batch) {
  if (!c.wants(output)) return;
  const double momentum = attr_float(c.node(), "momentum");
  std::vector<double> running = reference::widen(c.input(input));
  for (size_t i = 0; i < running.size(); ++i) running[i] = running[i] * momentum + batch[i] * (1 - momentum);
  reference::narrow(running, c.output(output));
}

void run_training(RunContext& c) {
  const TensorView& x = c.input(0);
  const AxisView view = axis_view(x.dims, 1);
  const std::vector<double> scale = reference::widen(c.input(kScale));
  const std::vector<double> bias = reference::widen(c.input(kBias));
  const double epsilon = attr_float(c.node(), "epsilon");
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
    const Statistics s = statistics_of(view, x.as<T>());
    for (int64_t row = 0; row < view.outer * view.extent; ++row) {
      const auto channel = static_cast<size_t>(row % view.extent);
      const double factor = scale[channel] / std::sqrt(s.variance[channel] + epsilon);
      const T* from = x.as<T>() + row * view.inner;
      T* to = c.output(0).as<T>() + row * view.inner;
      for (int64_t i = 0; i < view.inner; ++i) {
        const double value = static_cast<double>(static_cast<Compute<T>>(from[i]));
        to[i] = static_cast<T>(static_cast<Compute<T>>((value - s.mean[channel]) * factor + bias[channel]));
      }
    }
    write_running(c, kMean, kRunningMean, s.mean);
    write_running(c, kVariance, kRunningVariance, s.variance);
  });
}

std::vector<AxisRelation> axes_training(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  std::vector<AxisRef> channels{in_axis(0, 1), out_axis(0, 1)};
  for (const size_t port : {kScale, kBias, kMean, kVariance}) channels.push_back(in_axis(port, 0));
  for (const size_t port : {kRunningMean, kRunningVariance}) {
    if (c.node().output(port).valid()) channels.push_back(out_axis(port, 0));
  }
  add_tie(relations, c.input(0)[1], std::move(channels));
  for (size_t i = 0; i < c.input(0).size(); ++i) {
    if (i == 1) continue;
    relations.push_back(lock(in_axis(0, i), "statistics are taken along it"));
    relations.push_back(lock(out_axis(0, i), "statistics are taken along it"));
  }
  return relations;
}

void export_training(ExportContext& c) {
  Attrs attrs = c.node().attrs;
  attrs.set("training_mode", int64_t{1});
  c.emit(input_names(c), std::move(attrs), 3);
}

std::vector<Sample> training_samples() {
  return {
      {.name = "running", .inputs = parameters(random_input({2, 5, 4, 3}), 5), .outputs = 3},
      {.name = "momentum",
       .inputs = parameters(random_input({7, 3}), 3),
       .attrs = {{"epsilon", 0.01}, {"momentum", 0.25}},
       .outputs = 3},
  };
}

}  // namespace

void add_batch_norm_op(OpTable& table) {
  OpRow fixed_statistics = {
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
  };
  OpRow training = fixed_statistics;
  training.name = "batch_norm_training";
  training.doc = "Batch normalization with the statistics of the batch.";
  training.outputs = {
      {"y"}, {.name = "running_mean", .optional = true}, {.name = "running_variance", .optional = true}};
  training.infer = infer_training;
  training.run = run_training;
  training.layout = LayoutRule::kPlain;
  training.in_place = false;
  training.quant = QuantRule::keep_float("its statistics depend on the batch");
  training.axes = axes_training;
  training.spellings = {
      onnx("BatchNormalization", kTrainingModeOpset, kAllVersions, import_batch_norm, export_training)};
  training.samples = training_samples;
  table.add(std::move(fixed_statistics));
  table.add(std::move(training));
}

}  // namespace amct

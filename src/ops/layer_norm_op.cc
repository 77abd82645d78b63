// Normalizations over the trailing axes or groups of channels.
//
// layer_norm  y = (x - mean) / sqrt(variance + epsilon) * scale + bias over the axes from `axis` on
// rms_norm    y = x / sqrt(mean of x^2 + epsilon) * scale over the axes from `axis` on
// group_norm  like layer_norm over each of num_groups runs of channels with their images; scale and bias per channel
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"
#include "kernels/simd/row_norm.h"
#include "ops/norm.h"

namespace amct {
namespace {

size_t first_axis(const Node& node, size_t rank) {
  return static_cast<size_t>(normalize_axis(attr_int(node, "axis"), rank));
}

// Parameters broadcast to the normalized axes by repetition: their extents, without leading ones, are the last of x.
void check_suffix(const InferContext& c, size_t port, size_t first) {
  const auto x = c.shape(0).fixed();
  auto parameter = c.has(port) ? c.shape(port).fixed() : std::nullopt;
  if (!x || !parameter) return;
  while (!parameter->empty() && parameter->front() == 1) parameter->erase(parameter->begin());
  const bool fits =
      parameter->size() <= x->size() - first && std::equal(parameter->rbegin(), parameter->rend(), x->rbegin());
  if (!fits) {
    c.fail(fmt::format("input {} has shape {}, which does not fit the last axes of {}", port, to_string(*parameter),
                       to_string(*x)));
  }
}

void infer_layer(InferContext& c) {
  infer_norm(c, 1);
  for (const size_t port : {1, 2}) {
    if (c.has(port) && c.dtype(port) != c.dtype(0) && c.dtype(port) != DType::kUndefined &&
        c.dtype(0) != DType::kUndefined) {
      c.fail(fmt::format("input {} has type {}, its input {}", port, name_of(c.dtype(port)), name_of(c.dtype(0))));
    }
  }
  if (!c.shape(0).ranked()) return;
  const size_t first = first_axis(c.node(), c.shape(0).rank());
  check_suffix(c, 1, first);
  if (c.has(2)) check_suffix(c, 2, first);
  Shape statistics = c.shape(0);
  for (size_t axis = first; axis < statistics.rank(); ++axis) statistics[axis] = 1;
  c.set_output(1, DType::kFloat32, statistics);
  c.set_output(2, DType::kFloat32, std::move(statistics));
}

struct Moments {
  double mean, factor;  // factor = 1 / sqrt(variance + epsilon)
};

template <typename T>
Moments moments_of(const T* x, int64_t count, double epsilon, bool centre) {
  using C = Compute<T>;
  double mean = 0, square = 0;
  if (centre) {
    for (int64_t i = 0; i < count; ++i) mean += static_cast<C>(x[i]);
    mean /= static_cast<double>(count);
  }
  for (int64_t i = 0; i < count; ++i) {
    const double difference = static_cast<C>(x[i]) - mean;
    square += difference * difference;
  }
  return {mean, 1 / std::sqrt(square / static_cast<double>(count) + epsilon)};
}

// Parameters of full length go to the vectorised kernel as they are.
void run_float_rows(RunContext& c, int64_t rows, const RowNorm& norm) {
  const float* x = c.input(0).as<float>();
  float* y = c.output(0).as<float>();
  float* mean = c.wants(1) ? c.output(1).as<float>() : nullptr;
  float* factor = c.wants(2) ? c.output(2).as<float>() : nullptr;
#pragma omp parallel for num_threads(c.threads())
  for (int64_t row = 0; row < rows; ++row) {
    float_row_norm(norm, x + row * norm.columns, y + row * norm.columns, mean != nullptr ? mean + row : nullptr,
                   factor != nullptr ? factor + row : nullptr);
  }
}

void run_trailing(RunContext& c, bool centre) {
  const TensorView& x = c.input(0);
  const size_t first = first_axis(c.node(), x.dims.size());
  int64_t rows = 1, columns = 1;
  for (size_t axis = 0; axis < x.dims.size(); ++axis) (axis < first ? rows : columns) *= x.dims[axis];
  const double epsilon = attr_float(c.node(), "epsilon");
  if (x.dtype == DType::kFloat32 && c.input(1).size() == columns && (!c.has(2) || c.input(2).size() == columns)) {
    const float* bias = c.has(2) ? c.input(2).as<float>() : nullptr;
    return run_float_rows(c, rows, {columns, c.input(1).as<float>(), bias, epsilon, centre});
  }
  const std::vector<double> scale = reference::widen(c.input(1));
  const std::vector<double> bias = c.has(2) ? reference::widen(c.input(2)) : std::vector<double>{0.0};
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
#pragma omp parallel for num_threads(c.threads())
    for (int64_t row = 0; row < rows; ++row) {
      const T* in = x.as<T>() + row * columns;
      T* out = c.output(0).as<T>() + row * columns;
      const Moments moments = moments_of<T>(in, columns, epsilon, centre);
      for (int64_t i = 0; i < columns; ++i) {
        const double normal = (static_cast<Compute<T>>(in[i]) - moments.mean) * moments.factor;
        const auto at = static_cast<size_t>(i);
        out[i] = static_cast<T>(static_cast<Compute<T>>(normal * scale[at % scale.size()] + bias[at % bias.size()]));
      }
      if (c.wants(1)) c.output(1).as<float>()[row] = static_cast<float>(moments.mean);
      if (c.wants(2)) c.output(2).as<float>()[row] = static_cast<float>(moments.factor);
    }
  });
}

void run_layer(RunContext& c) { run_trailing(c, true); }
void run_rms(RunContext& c) { run_trailing(c, false); }

std::vector<AxisRelation> axes_layer(const AxesContext& c) {
  const size_t first = first_axis(c.node(), c.input(0).size());
  std::vector<AxisRelation> relations = axes_norm(
      c, [first](size_t axis) { return axis >= first; }, "statistics run over it");
  for (AxisRelation& relation : relations) {
    if (relation.kind != AxisRelation::Kind::kTie) continue;
    const size_t axis = relation.refs.back().axis;
    for (size_t port = 1; port < c.node().outputs.size(); ++port) {
      if (c.node().output(port).valid()) relation.refs.push_back(out_axis(port, axis));
    }
  }
  return relations;
}

void infer_group(InferContext& c) {
  infer_norm(c, 2);
  check_channel_parameter(c, 1);
  check_channel_parameter(c, 2);
  const int64_t groups = attr_int(c.node(), "num_groups");
  const Dim channels = c.shape(0).ranked() ? c.shape(0)[1] : Dim();
  if (groups < 1 || (channels.is_fixed() && channels.extent() % groups != 0)) {
    c.fail(fmt::format("{} groups do not divide the channels of {}", groups, c.shape(0).to_string()));
  }
}

void run_group(RunContext& c) {
  const TensorView& x = c.input(0);
  const AxisView view = axis_view(x.dims, 1);
  const int64_t groups = attr_int(c.node(), "num_groups");
  const int64_t count = view.extent / groups * view.inner;
  const std::vector<double> scale = reference::widen(c.input(1));
  const std::vector<double> bias = reference::widen(c.input(2));
  const double epsilon = attr_float(c.node(), "epsilon");
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
#pragma omp parallel for num_threads(c.threads())
    for (int64_t run = 0; run < view.outer * groups; ++run) {
      const T* in = x.as<T>() + run * count;
      T* out = c.output(0).as<T>() + run * count;
      const Moments moments = moments_of<T>(in, count, epsilon, true);
      const int64_t first_channel = run % groups * (view.extent / groups);
      for (int64_t i = 0; i < count; ++i) {
        const auto channel = static_cast<size_t>(first_channel + i / view.inner);
        const double normal = (static_cast<Compute<T>>(in[i]) - moments.mean) * moments.factor;
        out[i] = static_cast<T>(static_cast<Compute<T>>(normal * scale[channel] + bias[channel]));
      }
    }
  });
}

std::vector<AxisRelation> axes_group(const AxesContext& c) {
  return axes_norm(
      c, [](size_t axis) { return axis >= 1; }, "statistics run over groups of it");
}

std::vector<Sample> layer_samples() {
  return {
      {.name = "last_axis", .inputs = {random_input({2, 5, 7}), random_weight({7}), random_weight({7})}},
      {.name = "no_bias", .inputs = {random_input({3, 11}), random_weight({11})}, .attrs = {{"epsilon", 0.01}}},
      {.name = "two_axes",
       .inputs = {random_input({2, 3, 5, 4}), random_weight({5, 4}), random_weight({5, 4})},
       .attrs = {{"axis", int64_t{2}}}},
      {.name = "statistics", .inputs = {random_input({2, 3, 5}), random_weight({5}), random_weight({5})}, .outputs = 3},
  };
}

std::vector<Sample> rms_samples() {
  return {
      {.name = "last_axis", .inputs = {random_input({2, 5, 7}), random_weight({7})}},
      {.name = "two_axes",
       .inputs = {random_input({2, 3, 5}), random_weight({3, 5})},
       .attrs = {{"axis", int64_t{1}}, {"epsilon", 0.01}}},
  };
}

std::vector<Sample> group_samples() {
  return {
      {.name = "images",
       .inputs = {random_input({2, 6, 4, 3}), random_weight({6}), random_weight({6})},
       .attrs = {{"num_groups", int64_t{3}}}},
      {.name = "1d",
       .inputs = {random_input({3, 4, 7}), random_weight({4}), random_weight({4})},
       .attrs = {{"num_groups", int64_t{2}}, {"epsilon", 0.01}}},
  };
}

}  // namespace

void add_layer_norm_op(OpTable& table) {
  const QuantRule keep = QuantRule::keep_float("its statistics depend on the sample");
  table.add({
      .name = "layer_norm",
      .doc = "Normalizes the trailing axes by their mean and variance.",
      .inputs = {{"x"}, {"scale", Role::kParameter}, {"bias", Role::kParameter, true}},
      .outputs = {{"y"}, {"mean", true}, {"inv_std_dev", true}},
      .attrs = {int_attr("axis", -1), float_attr("epsilon", 1e-5), int_attr("stash_type", 1)},
      .infer = infer_layer,
      .run = run_layer,
      .quant = keep,
      .axes = axes_layer,
      .spellings = {onnx("LayerNormalization")},  // of ONNX Runtime before opset 17
      .samples = layer_samples,
  });
  table.add({
      .name = "rms_norm",
      .doc = "Normalizes the trailing axes by their root mean square.",
      .inputs = {{"x"}, {"scale", Role::kParameter}},
      .outputs = {{"y"}},
      .attrs = {int_attr("axis", -1), float_attr("epsilon", 1e-5), int_attr("stash_type", 1)},
      .infer = infer_layer,
      .run = run_rms,
      .quant = keep,
      .axes = axes_layer,
      .spellings = {onnx("RMSNormalization", 23), onnx("SimplifiedLayerNormalization")},  // of ONNX Runtime
      .samples = rms_samples,
  });
  table.add({
      .name = "group_norm",
      .doc = "Normalizes groups of channels by their mean and variance.",
      .inputs = {{"x"}, {"scale", Role::kParameter}, {"bias", Role::kParameter}},
      .outputs = {{"y"}},
      .attrs = {required_attr("num_groups", AttrType::kInt), float_attr("epsilon", 1e-5), int_attr("stash_type", 1)},
      .infer = infer_group,
      .run = run_group,
      .quant = keep,
      .axes = axes_group,
      .spellings = {onnx("GroupNormalization", 21)},  // before, scale and bias had one element per group
      .samples = group_samples,
  });
}

}  // namespace amct

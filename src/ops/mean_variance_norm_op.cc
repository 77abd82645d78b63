// Normalization by mean and standard deviation over given axes: y = (x - mean) / (deviation + 1e-9).
#include <algorithm>
#include <cmath>

#include "ops/norm.h"

namespace amct {
namespace {

// Which logical axes statistics run over.
std::vector<bool> normalized_axes(const Node& node, size_t rank) {
  std::vector<bool> normalized(rank);
  for (const int64_t axis : attr_ints(node, "axes")) normalized[static_cast<size_t>(normalize_axis(axis, rank))] = true;
  return normalized;
}

void infer(InferContext& c) {
  infer_norm(c, 1);
  if (c.shape(0).ranked()) normalized_axes(c.node(), c.shape(0).rank());
}

// For every element the index of its statistic: elements that differ in normalized axes only share one.
std::vector<int64_t> statistic_of(const Dims& memory, const std::vector<bool>& normalized) {
  std::vector<int64_t> statistics{0};
  int64_t count = 1;
  for (size_t axis = memory.size(); axis-- > 0;) {
    std::vector<int64_t> extended;
    extended.reserve(statistics.size() * static_cast<size_t>(memory[axis]));
    for (int64_t i = 0; i < memory[axis]; ++i) {
      for (const int64_t statistic : statistics) extended.push_back(statistic + (normalized[axis] ? 0 : i * count));
    }
    if (!normalized[axis]) count *= memory[axis];
    statistics = std::move(extended);
  }
  return statistics;
}

void run(RunContext& c) {
  const TensorView& x = c.input(0);
  const size_t rank = x.dims.size();
  const std::vector<bool> logical = normalized_axes(c.node(), rank);
  std::vector<bool> memory(rank);
  for (size_t axis = 0; axis < rank; ++axis) memory[c.memory_axis(axis, rank)] = logical[axis];
  const std::vector<int64_t> statistic = statistic_of(x.dims, memory);
  const size_t groups = statistic.empty() ? 0 : static_cast<size_t>(statistic.back()) + 1;
  const double count = groups == 0 ? 1 : static_cast<double>(statistic.size() / groups);
  visit_float(x.dtype, [&]<typename T>(Tag<T>) {
    using C = Compute<T>;
    const T* in = x.as<T>();
    T* out = c.output(0).as<T>();
    std::vector<double> mean(groups), variance(groups);
    for (size_t i = 0; i < statistic.size(); ++i) mean[statistic[i]] += static_cast<C>(in[i]) / count;
    for (size_t i = 0; i < statistic.size(); ++i) {
      const double difference = static_cast<C>(in[i]) - mean[statistic[i]];
      variance[statistic[i]] += difference * difference / count;
    }
    for (size_t i = 0; i < statistic.size(); ++i) {
      const size_t group = statistic[i];
      out[i] =
          static_cast<T>(static_cast<C>((static_cast<C>(in[i]) - mean[group]) / (std::sqrt(variance[group]) + 1e-9)));
    }
  });
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  const std::vector<bool> normalized = normalized_axes(c.node(), c.input(0).size());
  return axes_norm(
      c, [&](size_t axis) { return normalized[axis]; }, "statistics run over it");
}

std::vector<Sample> samples() {
  return {
      {.name = "images", .inputs = {random_input({2, 5, 4, 3})}, .attrs = {{"axes", std::vector<int64_t>{0, 2, 3}}}},
      {.name = "each_sample", .inputs = {random_input({3, 5, 4})}, .attrs = {{"axes", std::vector<int64_t>{1, -1}}}},
  };
}

}  // namespace

void add_mean_variance_norm_op(OpTable& table) {
  table.add({
      .name = "mean_variance_norm",
      .doc = "Normalizes by mean and standard deviation over given axes.",
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .attrs = {ints_attr("axes", {0, 2, 3})},
      .infer = infer,
      .run = run,
      .layout = LayoutRule::kFollow,
      .quant = QuantRule::keep_float("its statistics depend on the sample"),
      .axes = axes,
      .spellings = {onnx("MeanVarianceNormalization", 9)},
      .samples = samples,
  });
}

}  // namespace amct

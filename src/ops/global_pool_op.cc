// Average, maximum and p-norm of whole images: one element per channel.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/reference.h"
#include "ops/compute_row.h"
#include "ops/pool.h"

namespace amct {
namespace {

// Calls f(values, count) for every channel of every sample and stores what it returns.
template <typename F>
void run_per_channel(RunContext& c, F&& f) {
  const std::vector<double> x = reference::widen(c.input(0));
  std::vector<double> y(static_cast<size_t>(c.output(0).size()));
  const size_t count = y.empty() ? 0 : x.size() / y.size();
  for (size_t i = 0; i < y.size(); ++i) y[i] = f(x.data() + i * count, count);
  reference::narrow(y, c.output(0));
}

void run_average(RunContext& c) {
  run_per_channel(c, [](const double* values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += values[i];
    return sum / static_cast<double>(count);
  });
}

void run_max(RunContext& c) {
  run_per_channel(c, [](const double* values, size_t count) {
    double best = -std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < count; ++i) best = std::max(best, values[i]);
    return best;
  });
}

void run_lp(RunContext& c) {
  const auto p = static_cast<double>(attr_int(c.node(), "p"));
  run_per_channel(c, [p](const double* values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::pow(std::abs(values[i]), p);
    return std::pow(sum, 1 / p);
  });
}

std::unique_ptr<Step> lower_average(const LowerContext& c) {
  return lower_pool(c, dnn::PoolingSpec::Kind::kAverageInside, whole_image(c.input(0).dims));
}

std::unique_ptr<Step> lower_max(const LowerContext& c) {
  return lower_pool(c, dnn::PoolingSpec::Kind::kMax, whole_image(c.input(0).dims));
}

std::vector<Sample> samples() {
  return {
      {.name = "2d", .inputs = {random_input({2, 5, 7, 6})}},
      {.name = "1d", .inputs = {random_input({3, 5, 11})}},
      {.name = "3d", .inputs = {random_input({1, 3, 4, 5, 2})}},
  };
}

OpRow row(std::string name, std::string doc, std::string onnx_type) {
  return {
      .name = std::move(name),
      .doc = std::move(doc),
      .inputs = {{"x"}},
      .outputs = {{"y"}},
      .infer = infer_global_pool,
      .layout = LayoutRule::kPreferChannelsLast,
      .quant = QuantRule::keep_float("global pooling is never quantized"),
      .axes = axes_global_pool,
      .spellings = {onnx(std::move(onnx_type))},
      .samples = samples,
  };
}

}  // namespace

void add_global_pool_op(OpTable& table) {
  OpRow average = row("global_average_pool", "Average of every channel's image.", "GlobalAveragePool");
  average.run = run_average;
  average.lower = lower_average;
  table.add(std::move(average));

  OpRow max = row("global_max_pool", "Maximum of every channel's image.", "GlobalMaxPool");
  max.run = run_max;
  max.lower = lower_max;
  table.add(std::move(max));

  OpRow lp = row("global_lp_pool", "p-norm of every channel's image.", "GlobalLpPool");
  lp.run = run_lp;
  lp.attrs = {int_attr("p", 2)};
  lp.layout = LayoutRule::kPlain;
  lp.spellings = {onnx("GlobalLpPool", 2)};  // before, p was a floating-point number
  table.add(std::move(lp));
}

}  // namespace amct

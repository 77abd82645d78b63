#include "workflow/input_energies.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "ir/dispatch.h"
#include "passes/quantize/bias_correction.h"
#include "workflow/sample_run.h"

namespace amct {
namespace {

constexpr double kFloor = 1e-3;  // of the mean of all channels

// Sums of squares by channel; `axis` of the channels in memory.
std::vector<double> channel_squares(const TensorView& view, size_t axis) {
  const auto channels = static_cast<size_t>(view.dims[axis]);
  int64_t inner = 1;
  for (size_t i = axis + 1; i < view.dims.size(); ++i) inner *= view.dims[i];
  std::vector<double> sums(channels, 0.0);
  visit_numeric(view.dtype, [&]<typename T>(Tag<T>) {
    const T* values = view.as<T>();
    for (int64_t i = 0; i < view.size(); ++i) {
      const auto value = static_cast<double>(static_cast<float>(values[i]));
      sums[static_cast<size_t>(i / inner) % channels] += value * value;
    }
  });
  return sums;
}

std::vector<float> with_floor(const std::vector<double>& sums, double values_a_channel) {
  const double floor = kFloor * std::reduce(sums.begin(), sums.end()) / static_cast<double>(sums.size());
  std::vector<float> energy;
  for (const double sum : sums) energy.push_back(static_cast<float>((sum + floor) / std::max(values_a_channel, 1.0)));
  return energy;
}

// A value that such layers read, and its layers.
struct Input {
  size_t axis = 0;
  std::vector<std::string> layers;
  std::vector<std::vector<double>> by_sample;  // so that they are added in one order however the workers share them
  std::vector<double> values_a_channel;
};

}  // namespace

std::map<std::string, std::vector<float>> input_energies(const Graph& graph, const Plan& plan, const DataSource& source,
                                                         int64_t samples, int workers) {
  std::unordered_map<ValueId, Input> inputs;
  CompileOptions compile{.threads = 1};
  for (const LayerPlan& layer : plan.layers) {
    if (!layer.quantize || !layer.weight || layer.weight->steps == 0) continue;
    const ValueId value = graph.find_value(layer.tensor);
    const auto [at, is_new] = inputs.try_emplace(value);
    if (is_new) compile.observe.push_back(value);
    at->second.axis = input_channel_axis(graph, layer);
    at->second.layers.push_back(layer.name);
  }
  std::map<std::string, std::vector<float>> energies;
  if (inputs.empty()) return energies;
  const auto program = compile_for_samples(std::make_shared<const Graph>(graph), source, compile);
  const auto count = static_cast<size_t>(std::min<int64_t>(samples, static_cast<int64_t>(source.size())));
  for (auto& [value, input] : inputs) {
    input.axis = memory_axis(input.axis, program->type(value).shape.rank(), program->observed_layout(value));
    input.by_sample.resize(count);
    input.values_a_channel.resize(count);
  }
  run_samples({program}, source,
              {.workers = workers, .samples = static_cast<int64_t>(count), .label = "weighing inputs"},
              [&](const SampleRun& run, size_t, ValueId id, const TensorView& all) {
                const TensorView view = valid_rows(all, run);
                Input& input = inputs.at(id);
                input.by_sample[run.first_sample] = channel_squares(view, input.axis);
                input.values_a_channel[run.first_sample] =
                    static_cast<double>(view.size()) / static_cast<double>(std::max<int64_t>(view.dims[input.axis], 1));
              },
              {});
  for (const auto& [value, input] : inputs) {
    std::vector<double> sums;
    for (const std::vector<double>& sample : input.by_sample) {
      sums.resize(std::max(sums.size(), sample.size()), 0.0);
      for (size_t c = 0; c < sample.size(); ++c) sums[c] += sample[c];
    }
    if (!std::ranges::all_of(sums, [](double sum) { return std::isfinite(sum); })) {
      throw Error(ErrorCode::kNumeric, "activation holds NaN or infinity",
                  {.model = graph.info.path, .node = input.layers.front()},
                  "check the calibration data and its preprocessing");
    }
    const double values = std::reduce(input.values_a_channel.begin(), input.values_a_channel.end());
    for (const std::string& layer : input.layers) energies[layer] = with_floor(sums, values);
  }
  return energies;
}

}  // namespace amct

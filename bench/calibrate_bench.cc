// What observing costs beside the forward pass: a network's calibration program, run on one thread on the same sample
// in turn with and without its observers. $AMCT_BENCH_MODELS names the model files (separated by ':'; inputs are
// random); without it, MobileNetV2 of $AMCT_ASSETS. The counters are medians: ms of the forward pass, ms with
// observers, and the share that observing adds.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <random>
#include <sstream>
#include <unordered_map>

#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/qdq_targets.h"
#include "passes/quantize/weight_scales.h"
#include "workflow/model.h"
#include "workflow/observed_tensors.h"

namespace amct {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  work();
  return now() - start;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// A network as calibration runs it, with its observers.
struct Calibration {
  explicit Calibration(const std::filesystem::path& path) : graph(load_model(path)) {
    prepare(graph);
    plan = plan_layers(graph);
    for (const std::string& tensor : tensors_to_calibrate(graph, plan, {qdq_target("ort")})) {
      plan.tensors.push_back({tensor, ActivationPlan{}});
    }
    fill_weight_scales(graph, plan);
    tensors = observed_tensors(graph, plan);
    CompileOptions options{.threads = 1};
    for (const ObservedTensor& tensor : tensors) options.observe.push_back(tensor.value);
    InputBinding binding;
    for (const ValueId id : graph.inputs()) {
      Dims dims;
      for (const Dim& dim : graph.value(id).type.shape.dims()) dims.push_back(dim.is_fixed() ? dim.extent() : 1);
      binding.dims[id] = std::move(dims);
    }
    const auto shared = std::make_shared<const Graph>(fake_quantized_weights(graph, plan));
    runner = std::make_unique<Runner>(Program::compile(shared, binding, options));
    const std::vector<ObservedView> views = observed_views(tensors, runner->program(), 64);
    for (size_t i = 0; i < tensors.size(); ++i) {
      const ObservedTensor& tensor = tensors[i];
      statistics.try_emplace(tensor.value, views[i]);
      elements += runner->program().type(tensor.value).shape.element_count().value_or(0);
    }
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    sample.resize(static_cast<size_t>(element_count(runner->input(0).dims)));
    for (float& value : sample) value = normal(random);
  }

  // Fills the input, whose memory the run before has used for other values.
  void feed() { std::copy(sample.begin(), sample.end(), reinterpret_cast<float*>(runner->input(0).data)); }

  Graph graph;
  Plan plan;
  std::vector<ObservedTensor> tensors;
  std::unordered_map<ValueId, TensorStatistics> statistics;
  std::unique_ptr<Runner> runner;
  std::vector<float> sample;
  int64_t elements = 0;
};

void observe(benchmark::State& state, const std::string& path) {
  Calibration calibration(path);
  std::vector<double> plain, observed;
  for (auto _ : state) {
    calibration.feed();
    plain.push_back(seconds_of([&] { calibration.runner->run(); }));
    calibration.feed();
    observed.push_back(seconds_of([&] {
      calibration.runner->run([&](ValueId id, const TensorView& view) { calibration.statistics.at(id).add(view); });
    }));
  }
  state.counters["forward_ms"] = 1000 * median(plain);
  state.counters["observing_ms"] = 1000 * (median(observed) - median(plain));
  state.counters["share"] = median(observed) / median(plain) - 1;
  state.counters["Melements"] = static_cast<double>(calibration.elements) / 1e6;
}

[[maybe_unused]] const bool registered = [] {
  const char* assets = std::getenv("AMCT_ASSETS");
  const char* models = std::getenv("AMCT_BENCH_MODELS");
  std::stringstream paths(models != nullptr ? models
                                            : std::string(assets != nullptr ? assets : "../shared/assets") +
                                                  "/onnx/mobilenet_v2.onnx");
  for (std::string path; std::getline(paths, path, ':');) {
    if (!std::filesystem::exists(path)) continue;
    benchmark::RegisterBenchmark(("observe/" + std::filesystem::path(path).stem().string()).c_str(), observe, path)
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace amct

// The loops that calibration spends its time in. Items are elements: the inverse of items_per_second is the time of
// one.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "exec/histogram.h"
#include "kernels/simd/fake_quant.h"
#include "passes/quantize/clip_search.h"

namespace amct {
namespace {

enum Data { kNormal, kRelu, kRelu6, kImage };

std::vector<float> draw(int64_t data, size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> x(count);
  for (float& v : x) {
    v = normal(random);
    if (data == kRelu) v = std::max(v, 0.0f);
    if (data == kRelu6) v = std::clamp(2 * v, 0.0f, 6.0f);
    if (data == kImage) v = static_cast<float>(random() % 256) / 127.5f - 1;
  }
  return x;
}

// Arguments: data, elements of one block. 16 k elements stay in the first cache, 4 M come from memory.
void count_values(benchmark::State& state) {
  const std::vector<float> x = draw(state.range(0), static_cast<size_t>(state.range(1)));
  Histogram histogram;
  for (auto _ : state) histogram.add(x);
  state.SetItemsProcessed(state.iterations() * state.range(1));
}
BENCHMARK(count_values)->ArgsProduct({{kNormal, kRelu, kRelu6, kImage}, {1 << 14, 1 << 22}});

// The least that reading can cost.
void read_values(benchmark::State& state) {
  const std::vector<float> x = draw(kNormal, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    float lanes[16] = {};
    for (size_t i = 0; i < x.size(); i += 16) {
      for (size_t lane = 0; lane < 16; ++lane) lanes[lane] += x[i + lane];
    }
    benchmark::DoNotOptimize(lanes);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_values)->Arg(1 << 14)->Arg(1 << 22);

void fake_quantize_values(benchmark::State& state) {
  std::vector<float> x = draw(kNormal, static_cast<size_t>(state.range(0)));
  std::vector<float> y(x.size());
  const QuantizeSpec spec = QuantizeSpec::of(0.03f, 3, 8);
  for (auto _ : state) fake_quantize(x.data(), y.data(), x.size(), spec);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(fake_quantize_values)->Arg(1 << 14)->Arg(1 << 22);

void merge_histograms(benchmark::State& state) {
  Histogram other;
  other.add(draw(kNormal, 1 << 20));
  Histogram histogram;
  for (auto _ : state) histogram.merge(other);
}
BENCHMARK(merge_histograms)->Unit(benchmark::kMicrosecond);

// Arguments: data, method. From the histogram to the factor.
void choose(benchmark::State& state) {
  Histogram histogram;
  histogram.add(draw(state.range(0), 1 << 21));
  ActivationPlan plan;
  plan.search.method = static_cast<ClipSearch::Method>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(choose_factor(histogram.finish(), plan));
}
BENCHMARK(choose)->ArgsProduct({{kNormal, kRelu6}, {0, 1, 2, 3, 4}})->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace amct

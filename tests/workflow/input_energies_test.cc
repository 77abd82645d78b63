// Energies of input channels against loops over what the network computes, and what they do to the clusters of a layer.
#include "workflow/input_energies.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "ir/random_tensor.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/nuq.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/weight_scales.h"
#include "support/graphs.h"
#include "workflow/networks.h"

namespace amct::testing {
namespace {

constexpr int64_t kSamples = 5;

// A convolution in two groups, of odd extents, and a Gemm with either orientation of its weight.
Graph network(int batch = 1) {
  return graph_of(fmt::format(R"(%x: float32[{0}, 6, 5, 3] = input
%w: float32[4, 3, 3, 1] = constant random(1)
%c = conv(%x, %w, _) {{group=2, pads=[1, 0, 1, 0]}}
%s: int64[2] = constant [{0}, -1]
%f = reshape(%x, %s)
%m: float32[90, 7] = constant random(2)
%b: float32[7] = constant random(3)
%g = gemm(%f, %m, %b)
output %c
output %g
)",
                              batch));
}

std::vector<Tensor> samples() {
  std::vector<Tensor> result;
  for (int64_t i = 0; i < kSamples; ++i) {
    Tensor sample = random_tensor(DType::kFloat32, {1, 6, 5, 3}, 70 + static_cast<uint64_t>(i));
    const auto values = sample.mutable_values<float>();
    for (int64_t e = 0; e < sample.size(); ++e) values[e] *= static_cast<float>(e / 15);  // channel 0 rests
    result.push_back(std::move(sample));
  }
  return result;
}

Plan plan_for(const Graph& graph) {
  Plan plan = plan_layers(graph);
  for (LayerPlan& layer : plan.layers) {
    if (layer.weight) layer.weight->steps = 16;
  }
  return plan;
}

// Mean squares of `channels` of a sample's elements, each of `inner` in a row, with the floor.
std::vector<double> expected(int64_t count, size_t channels, int64_t inner) {
  std::vector<double> sums(channels, 0.0);
  const std::vector<Tensor> all = samples();
  for (int64_t i = 0; i < count; ++i) {
    const auto values = all[static_cast<size_t>(i)].values<float>();
    for (size_t e = 0; e < values.size(); ++e) {
      sums[e / static_cast<size_t>(inner)] += static_cast<double>(values[e]) * static_cast<double>(values[e]);
    }
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  for (double& sum : sums) {
    sum = (sum + 1e-3 * total / static_cast<double>(channels)) / static_cast<double>(count * inner);
  }
  return sums;
}

TEST(InputEnergies, AreMeanSquaresOfChannels) {
  const MemorySource source(samples());
  const std::vector<std::pair<int, int64_t>> cases = {{1, 2}, {1, kSamples}, {2, kSamples}, {3, 2}};
  for (const auto& [batch, count] : cases) {
    const Graph graph = network(batch);
    const auto energies = input_energies(graph, plan_for(graph), source, count, 1);
    ASSERT_EQ(energies.size(), 2u);
    for (const auto& [layer, energy] : energies) {
      const bool window = graph.node(graph.find_node(layer)).op == "conv";
      const std::vector<double> wanted = expected(count, window ? 6 : 90, window ? 15 : 1);
      ASSERT_EQ(energy.size(), wanted.size()) << layer;
      for (size_t c = 0; c < wanted.size(); ++c) EXPECT_NEAR(energy[c] / wanted[c], 1, 1e-5) << layer << " " << c;
      EXPECT_GT(energy[0], 0);
    }
    EXPECT_EQ(input_energies(graph, plan_for(graph), source, count, 3), energies);
  }
}

TEST(InputEnergies, LayersWithUniformWeightsAreLeftOut) {
  const Graph graph = network();
  const MemorySource source(samples());
  EXPECT_TRUE(input_energies(graph, plan_layers(graph), source, kSamples, 1).empty());
}

TEST(InputEnergies, WeightsCountByTheChannelThatTheyMultiply) {
  const Graph graph = network();
  Plan plan = plan_for(graph);
  for (LayerPlan& layer : plan.layers) {
    if (!layer.weight) continue;
    const bool window = layer.op == "conv";
    layer.weight->input_energy.assign(window ? 6 : 90, 0.25f);
    layer.weight->input_energy[4] = 9;  // of a convolution's second group the channel in the middle
  }
  Plan plain = plan_for(graph);
  fill_weight_scales(graph, plan);
  fill_weight_scales(graph, plain);
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    const LayerPlan& layer = plan.layers[i];
    if (!layer.weight) continue;
    const bool window = layer.op == "conv";
    const Tensor& weight = *graph.constant(graph.node(graph.find_node(layer.name)).input(1));
    const auto integers = integer_weights(weight, *plain.layers[i].weight, window ? 0 : 1);
    WeightPlan uniform = *layer.weight;
    uniform.clusters.clear();
    uniform.steps = 0;
    const Tensor exact = integer_weights(weight, uniform, window ? 0 : 1);
    std::vector<double> mass(256, 0.0);
    for (int64_t e = 0; e < weight.size(); ++e) {
      const int64_t channel = window ? e / 18 * 3 + e / 3 % 3 : e / 7;  // two filters of nine a group
      const double scale = layer.weight->scales[layer.weight->scales.size() == 1 ? 0 : window ? e / 9 : e % 7];
      mass[exact.values<int8_t>()[e] + 128] += scale * scale * (channel == 4 ? 9.0 : 0.25);
    }
    EXPECT_EQ(layer.weight->clusters, optimal_clusters(mass, 16)) << layer.name;
    EXPECT_EQ(integers.size(), exact.size());
  }
}

}  // namespace
}  // namespace amct::testing

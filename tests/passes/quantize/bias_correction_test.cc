#include "passes/quantize/bias_correction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>

#include "exec/channel_sums.h"
#include "exec/interpret.h"
#include "ops/op_row.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/weight_scales.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

struct Case {
  const char* name;
  const char* op;
  Dims input, weight;
  Attrs attrs;
  bool bias;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"padded", "conv", {1, 6, 9, 7}, {5, 6, 3, 3}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}, true},
    {"strided",
     "conv",
     {1, 6, 9, 12},
     {5, 6, 3, 2},
     {{"pads", std::vector<int64_t>{0, 1, 2, 0}}, {"strides", std::vector<int64_t>{2, 3}}},
     false},
    {"depthwise",
     "conv",
     {1, 7, 6, 8},
     {7, 1, 3, 3},
     {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"group", int64_t{7}}},
     true},
    {"grouped_dilated",
     "conv",
     {1, 6, 9, 9},
     {4, 3, 3, 3},
     {{"pads", std::vector<int64_t>{2, 2, 2, 2}}, {"dilations", std::vector<int64_t>{2, 2}}, {"group", int64_t{2}}},
     false},
    {"transposed",
     "conv_transpose",
     {1, 4, 5, 6},
     {3, 4, 3, 3},
     {{"pads", std::vector<int64_t>{1, 0, 1, 0}}, {"strides", std::vector<int64_t>{2, 2}}},
     true},
    {"gemm", "gemm", {1, 11}, {5, 11}, {{"transB", int64_t{1}}}, true},
};

class BiasCorrection : public ::testing::TestWithParam<Case> {};

// Inputs that are constant within each channel have exactly the means that the formula assumes: the corrected layer's
// mean output then equals the float layer's.
TEST_P(BiasCorrection, TakesTheMeanErrorOffEveryChannel) {
  const Case& c = GetParam();
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of(c.input)});
  std::vector<ValueId> inputs{x, graph.add_constant("w", uniform(c.weight, 3))};
  const int64_t out = c.weight[0];
  if (c.bias) inputs.push_back(graph.add_constant("b", uniform({out}, 4)));
  const NodeId layer = add_op(graph, "layer", c.op, inputs, c.attrs);
  graph.set_outputs({graph.node(layer).output()});
  update_types(graph);

  QuantizeOptions options;
  options.weight_bits = 4;  // large errors
  Plan plan = plan_layers(graph, options);
  ASSERT_TRUE(plan.layers.at(0).quantize) << plan.layers[0].reason;
  fill_weight_scales(graph, plan);

  Tensor sample = uniform(c.input, 5, 0.2f, 1.0f);
  const auto values = sample.mutable_values<float>();
  const size_t channels = static_cast<size_t>(c.input[1]);
  const size_t positions = values.size() / channels;
  for (size_t i = 0; i < values.size(); ++i) values[i] = values[i / positions * positions];
  ChannelSums sums;
  sums.add(sample.view(), input_channel_axis(graph, plan.layers[0]));
  plan.layers[0].bias_correction = bias_correction(graph, plan.layers[0], sums.means());
  ASSERT_EQ(plan.layers[0].bias_correction.size(), static_cast<size_t>(out));

  const auto means = [&](const Graph& of) {
    const Tensor result = interpret(of, {sample}, of.outputs())[0];
    ChannelSums result_sums;
    result_sums.add(result.view(), 1);
    return result_sums.means();
  };
  const auto expected = means(graph);
  const auto rounded = means(fake_quantized_weights(graph, plan));
  const auto corrected = means(fake_quantized_weights(with_corrected_biases(graph, plan), plan));
  double worst = 0;
  for (size_t o = 0; o < expected.size(); ++o) {
    worst = std::max(worst, std::abs(rounded[o] - expected[o]));
    EXPECT_NEAR(corrected[o], expected[o], 2e-5) << "channel " << o;
  }
  EXPECT_GT(worst, 1e-3) << "there was nothing to correct";
}

INSTANTIATE_TEST_SUITE_P(Layers, BiasCorrection, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST(BiasCorrectionOfNothing, LeavesLayersWithoutMeansAlone) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({1, 3, 4, 4})});
  const ValueId w = graph.add_constant("w", uniform({2, 3, 1, 1}, 6));
  const NodeId layer = add_op(graph, "layer", "conv", {x, w});
  graph.set_outputs({graph.node(layer).output()});
  update_types(graph);
  Plan plan = plan_layers(graph);
  fill_weight_scales(graph, plan);
  EXPECT_TRUE(bias_correction(graph, plan.layers[0], {}).empty());
  EXPECT_EQ(with_corrected_biases(graph, plan).node(layer).inputs.size(), 2u);
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_bn_into_conv";

// Batch norm with random parameters behind `x`.
ValueId batch_norm(Graph& graph, std::string_view name, ValueId x, int64_t channels, Attrs attrs = {}) {
  std::vector<ValueId> inputs{x};
  for (uint32_t seed : {11u, 12u, 13u}) inputs.push_back(graph.add_constant("p", uniform({channels}, seed)));
  inputs.push_back(graph.add_constant("var", uniform({channels}, 14, 0.01f, 2)));
  return op(graph, name, "batch_norm", inputs, std::move(attrs));
}

struct Case {
  std::string op_name;
  Dims input, weight;
  int64_t outputs;
  Attrs attrs;
};

Graph layer_and_batch_norm(const Case& c, bool bias) {
  Graph graph;
  std::vector<ValueId> inputs{float_input(graph, c.input), graph.add_constant("w", uniform(c.weight, 1))};
  if (bias) inputs.push_back(graph.add_constant("b", uniform({c.outputs}, 2)));
  const ValueId y = op(graph, "layer", c.op_name, inputs, c.attrs);
  graph.set_outputs({batch_norm(graph, "bn", y, c.outputs, {{"epsilon", 1e-3}})});
  return graph;
}

TEST(FuseBnIntoConv, FoldsIntoEveryKindOfLayer) {
  const std::vector<Case> cases = {
      {"conv", {2, 3, 9}, {5, 3, 4}, 5, {{"strides", Ints{2}}, {"pads", Ints{1, 2}}}},
      {"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, {{"pads", Ints{1, 0, 2, 1}}}},
      {"conv", {1, 3, 4, 5, 6}, {7, 3, 2, 3, 2}, 7, {}},
      {"conv", {1, 6, 5, 8}, {9, 2, 3, 3}, 9, {{"group", int64_t{3}}}},
      {"conv", {1, 7, 5, 8}, {7, 1, 3, 3}, 7, {{"group", int64_t{7}}}},
      {"conv", {1, 3, 5, 8}, {6, 1, 3, 3}, 6, {{"group", int64_t{3}}}},
      {"conv_transpose", {2, 3, 5, 4}, {5, 3, 3, 2}, 5, {{"strides", Ints{2, 3}}}},
      {"conv_transpose", {1, 6, 4, 5}, {10, 3, 3, 3}, 10, {{"group", int64_t{2}}, {"strides", Ints{2, 1}}}},
      {"gemm", {3, 7}, {7, 5}, 5, {{"alpha", 0.5}, {"beta", 2.0}}},
      {"gemm", {3, 7}, {5, 7}, 5, {{"transB", int64_t{1}}}},
      {"gemm", {7, 3}, {7, 5}, 5, {{"transA", int64_t{1}}}},
  };
  for (const Case& c : cases) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(c.op_name + " " + to_string(c.weight) + (bias ? " with bias" : ""));
      const Ran ran = run_pass(layer_and_batch_norm(c, bias), kPass);
      EXPECT_EQ(node_names(ran.graph), Strings{"layer"}) << "the layer keeps its key";
    }
  }
}

TEST(FuseBnIntoConv, FoldsIntoSixteenBitWeights) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat16, Shape::of({1, 3, 4, 4})});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 1, 1}, 1).cast(DType::kFloat16));
  std::vector<ValueId> inputs{op(graph, "layer", "conv", {x, w})};
  for (uint32_t seed : {11u, 12u, 13u}) {
    inputs.push_back(graph.add_constant("p", uniform({5}, seed).cast(DType::kFloat16)));
  }
  inputs.push_back(graph.add_constant("var", uniform({5}, 14, 0.5f, 2).cast(DType::kFloat16)));
  graph.set_outputs({op(graph, "bn", "batch_norm", inputs)});
  const PipelineReport report = run_passes(graph, {pass_named(kPass)});
  EXPECT_EQ(report.nodes_after, 1u);
  EXPECT_EQ(graph.value(graph.find_value("w")).data.dtype(), DType::kFloat16);
}

TEST(FuseBnIntoConv, CopiesAWeightThatTwoLayersShare) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 2, 2}, 1));
  const ValueId a = batch_norm(graph, "bn", op(graph, "a", "conv", {x, w}), 5);
  const ValueId b = op(graph, "b", "conv", {op(graph, "n", "neg", {x}), w});
  graph.set_outputs({op(graph, "y", "add", {a, b})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.changes, 1);
  const auto weight_of = [&](const char* node) { return ran.graph.node(ran.graph.find_node(node)).input(1); };
  EXPECT_NE(weight_of("a"), weight_of("b"));
  EXPECT_TRUE(ran.graph.constant(weight_of("b"))->same_bytes(*graph.constant(w)));
}

TEST(FuseBnIntoConv, LeavesTheGraphItWasCopiedFromAlone) {
  const Graph graph = layer_and_batch_norm({"conv", {1, 3, 4, 5}, {5, 3, 2, 2}, 5, {}}, true);
  const Tensor before = Tensor::copy_of(graph.value(graph.find_value("w")).data.view());
  run_pass(graph, kPass);
  EXPECT_TRUE(graph.value(graph.find_value("w")).data.same_bytes(before));
}

TEST(FuseBnIntoConv, HandsTheNameOfAGraphOutputToTheLayer) {
  const Ran ran = run_pass(layer_and_batch_norm({"conv", {1, 3, 4, 5}, {5, 3, 2, 2}, 5, {}}, true), kPass);
  EXPECT_EQ(ran.graph.value(ran.graph.node(ran.graph.find_node("layer")).output()).name, "bn");
}

TEST(FuseBnIntoConv, LeavesALayerAloneWhoseResultOthersRead) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId y = op(graph, "layer", "conv", {x, graph.add_constant("w", uniform({5, 3, 2, 2}, 1))});
  graph.set_outputs({op(graph, "sum", "add", {y, batch_norm(graph, "bn", y, 5)})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("layer", "other uses"));
}

TEST(FuseBnIntoConv, LeavesALayerAloneWhoseResultIsAGraphOutput) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId y = op(graph, "layer", "conv", {x, graph.add_constant("w", uniform({5, 3, 2, 2}, 1))});
  graph.set_outputs({y, batch_norm(graph, "bn", y, 5)});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FuseBnIntoConv, LeavesComputedWeightsAndBiasesAlone) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId w = float_input(graph, {5, 3, 2, 2}, "w");
  graph.set_outputs({batch_norm(graph, "bn", op(graph, "layer", "conv", {x, w}), 5)});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "weight is computed"));

  Graph with_bias;
  const ValueId z = float_input(with_bias, {1, 3, 5, 4});
  const ValueId constant = with_bias.add_constant("w", uniform({5, 3, 2, 2}, 1));
  const ValueId b = float_input(with_bias, {5}, "b");
  with_bias.set_outputs({batch_norm(with_bias, "bn", op(with_bias, "layer", "conv", {z, constant, b}), 5)});
  EXPECT_TRUE(run_pass(with_bias, kPass).left_alone("layer", "bias is computed"));
}

TEST(FuseBnIntoConv, LeavesGemmAloneWhoseBiasVariesAlongRows) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId w = graph.add_constant("w", uniform({7, 5}, 1));
  const ValueId b = graph.add_constant("b", uniform({3, 1}, 2));
  graph.set_outputs({batch_norm(graph, "bn", op(graph, "layer", "gemm", {x, w, b}), 5)});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "varies within a channel"));
}

TEST(FuseBnIntoConv, LeavesMatmulAloneForItHasNoBias) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId w = graph.add_constant("w", uniform({7, 5}, 1));
  graph.set_outputs({batch_norm(graph, "bn", op(graph, "layer", "matmul", {x, w}), 5)});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "no bias"));
}

TEST(FuseBnIntoConv, LeavesNumbersAloneThatWouldNotBeFinite) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId w = graph.add_constant("w", uniform({2, 3, 2, 2}, 1, 1e38f, 2e38f));
  std::vector<ValueId> inputs{op(graph, "layer", "conv", {x, w})};
  for (int i = 0; i < 3; ++i) inputs.push_back(graph.add_constant("p", Tensor::of<float>({2}, {1, 1})));
  inputs.push_back(graph.add_constant("var", Tensor::of<float>({2}, {0, 1e-9f})));
  graph.set_outputs({op(graph, "bn", "batch_norm", inputs)});
  const PipelineReport report = run_passes(graph, {pass_named(kPass)});
  EXPECT_EQ(report.nodes_after, 2u);
  ASSERT_EQ(report.passes.size(), 1u);
  EXPECT_NE(report.passes[0].second.notes[0].message.find("not be finite"), std::string::npos);
}

TEST(FuseBnIntoConv, LeavesNegativeVarianceAlone) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId w = graph.add_constant("w", uniform({2, 3, 2, 2}, 1));
  std::vector<ValueId> inputs{op(graph, "layer", "conv", {x, w})};
  for (int i = 0; i < 3; ++i) inputs.push_back(graph.add_constant("p", Tensor::of<float>({2}, {1, 1})));
  inputs.push_back(graph.add_constant("var", Tensor::of<float>({2}, {1, -1})));
  graph.set_outputs({op(graph, "bn", "batch_norm", inputs)});
  EXPECT_EQ(run_passes(graph, {pass_named(kPass)}).nodes_after, 2u);
}

TEST(FuseBnIntoConv, LeavesLayersAloneThatTheUserNames) {
  const Graph graph = layer_and_batch_norm({"conv", {1, 3, 4, 5}, {5, 3, 2, 2}, 5, {}}, true);
  const Ran ran = run_pass(graph, kPass, {"layer"});
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("layer", "to be left alone"));
}

TEST(FuseBnIntoConv, LeavesOtherProducersAlone) {
  Graph graph;
  const ValueId x = op(graph, "n", "neg", {float_input(graph, {1, 3, 5, 4})});
  graph.set_outputs({batch_norm(graph, "bn", x, 3)});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.report.passes.empty()) << "nothing that a user could wonder about";
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

ValueId apply(Graph& graph, std::string_view name, std::string_view op_name, ValueId x, Tensor constant,
              bool left = false) {
  const ValueId c = graph.add_constant(std::string(name) + ".c", std::move(constant));
  return op(graph, name, op_name, left ? std::vector<ValueId>{c, x} : std::vector<ValueId>{x, c});
}

Tensor per_channel(uint32_t seed, float low = -1, float high = 1) { return uniform({5, 1, 1}, seed, low, high); }

TEST(FuseSmallOpBatchNorm, JoinsBatchNormWrittenOut) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5, 3, 4});
  const ValueId centred = apply(graph, "centred", "sub", x, per_channel(1));
  const ValueId eps = graph.add_constant("eps", Tensor::scalar(1e-3f));
  const ValueId var = graph.add_constant("var", per_channel(2, 0.1f, 2));
  const ValueId deviation = op(graph, "deviation", "sqrt", {op(graph, "var_eps", "add", {var, eps})});
  const ValueId scaled = op(graph, "scaled", "div", {centred, deviation});
  const ValueId with_gamma = apply(graph, "with_gamma", "mul", scaled, per_channel(3), true);
  graph.set_outputs({apply(graph, "y", "add", with_gamma, per_channel(4))});
  Graph simplified = graph;
  run_passes(simplified, simplify_passes(), {.check = true});
  EXPECT_EQ(op_names(simplified), Strings{"batch_norm"});
  EXPECT_EQ(node_names(simplified), Strings{"y"});
}

TEST(FuseSmallOpBatchNorm, JoinsTheFormWithAFoldedFactor) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5, 3, 4});
  const ValueId scaled = apply(graph, "scaled", "mul", x, per_channel(1));
  graph.set_outputs({apply(graph, "y", "add", scaled, per_channel(2), true)});
  EXPECT_EQ(op_names(run_pass(graph, "fuse_small_op_batch_norm").graph), Strings{"batch_norm"});
}

TEST(FuseSmallOpBatchNorm, TakesMulAndAddIntoTheBatchNormBeforeAndAfter) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5, 3});
  const ValueId shifted = apply(graph, "shifted", "add", x, Tensor::scalar(0.5f));
  std::vector<ValueId> inputs{shifted};
  for (uint32_t seed : {1u, 2u, 3u}) inputs.push_back(graph.add_constant("p", uniform({5}, seed)));
  inputs.push_back(graph.add_constant("var", uniform({5}, 4, 0.1f, 2)));
  const ValueId bn = op(graph, "bn", "batch_norm", inputs, {{"epsilon", 1e-2}});
  const ValueId scaled = apply(graph, "scaled", "mul", bn, uniform({1, 5, 1}, 5));
  graph.set_outputs({apply(graph, "y", "sub", scaled, uniform({5, 1}, 6), true)});
  const Ran ran = run_pass(graph, "fuse_small_op_batch_norm");
  EXPECT_EQ(node_names(ran.graph), Strings{"bn"}) << "the batch norm keeps its layer key";
  EXPECT_EQ(ran.graph.value(ran.graph.outputs()[0]).name, "y");
}

TEST(FuseSmallOpBatchNorm, WorksOnFeatureVectors) {
  Graph graph;
  const ValueId scaled = apply(graph, "scaled", "mul", float_input(graph, {3, 7}), uniform({7}, 1));
  graph.set_outputs({apply(graph, "y", "add", scaled, uniform({1, 7}, 2))});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 1);
}

TEST(FuseSmallOpBatchNorm, LeavesAScaledImageAloneForItHasNoNumberPerChannel) {
  Graph graph;
  const ValueId centred = apply(graph, "centred", "sub", float_input(graph, {1, 5, 3, 4}), Tensor::scalar(127.0f));
  graph.set_outputs({apply(graph, "y", "div", centred, Tensor::scalar(128.0f))});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 0);
}

TEST(FuseSmallOpBatchNorm, LeavesSingleNodesAlone) {
  Graph graph;
  graph.set_outputs({apply(graph, "y", "mul", float_input(graph, {1, 5, 3, 4}), per_channel(1))});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 0);
}

TEST(FuseSmallOpBatchNorm, LeavesIntermediateResultsThatOthersRead) {
  Graph graph;
  const ValueId scaled = apply(graph, "scaled", "mul", float_input(graph, {2, 5, 3, 4}), per_channel(1));
  graph.set_outputs({scaled, apply(graph, "y", "add", scaled, per_channel(2))});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 0);
}

TEST(FuseSmallOpBatchNorm, LeavesConstantsAloneThatVaryAlongOtherAxes) {
  Graph graph;
  const ValueId scaled = apply(graph, "scaled", "mul", float_input(graph, {2, 5, 3, 5}), per_channel(1));
  graph.set_outputs({apply(graph, "y", "add", scaled, uniform({5}, 2))});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 0);
}

TEST(FuseSmallOpBatchNorm, LeavesSumsOfTwoActivationsAlone) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5, 3, 4});
  const ValueId scaled = apply(graph, "scaled", "mul", x, per_channel(1));
  graph.set_outputs({op(graph, "y", "add", {scaled, x})});
  EXPECT_EQ(run_pass(graph, "fuse_small_op_batch_norm").changes, 0);
}

TEST(FuseSmallOpBatchNorm, LeavesDivisionByZeroAlone) {
  Graph graph;
  const Tensor zeros = Tensor::of<float>({5, 1, 1}, {1, 0, 1, 1, 1});
  const ValueId scaled = apply(graph, "scaled", "div", float_input(graph, {2, 5, 3, 4}), zeros);
  graph.set_outputs({apply(graph, "y", "add", scaled, per_channel(2))});
  const Ran ran = run_pass(graph, "fuse_small_op_batch_norm");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("y", "not finite"));
}

TEST(FuseSmallOpBatchNorm, LeavesChannelsOfUnknownNumberAlone) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim(2), Dim::named("C"), Dim(3)})});
  const ValueId scaled = apply(graph, "scaled", "mul", x, uniform({4, 1}, 1));
  graph.set_outputs({apply(graph, "y", "add", scaled, uniform({4, 1}, 2))});
  EXPECT_EQ(run_passes(graph, {pass_named("fuse_small_op_batch_norm")}).nodes_after, 2u);
}

}  // namespace
}  // namespace amct::testing

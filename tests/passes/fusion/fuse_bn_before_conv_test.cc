#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_bn_before_conv";

// Batch norm with random parameters; without a shift if beta and mean are zero.
ValueId batch_norm(Graph& graph, ValueId x, int64_t channels, bool shift = true) {
  const Tensor zeros = Tensor::of<float>({channels}, std::vector<float>(static_cast<size_t>(channels)));
  return op(graph, "bn", "batch_norm",
            {x, graph.add_constant("gamma", uniform({channels}, 11)),
             graph.add_constant("beta", shift ? uniform({channels}, 12) : zeros),
             graph.add_constant("mean", shift ? uniform({channels}, 13) : zeros),
             graph.add_constant("var", uniform({channels}, 14, 0.01f, 2))});
}

struct Case {
  std::string op_name;
  Dims input, weight;
  int64_t outputs;
  Attrs attrs;
  bool shift = true;
};

Graph batch_norm_and_layer(const Case& c, bool bias) {
  Graph graph;
  const ValueId x = float_input(graph, c.input);
  const int64_t channels = c.input[1];
  std::vector<ValueId> inputs{batch_norm(graph, x, channels, c.shift), graph.add_constant("w", uniform(c.weight, 1))};
  if (bias) inputs.push_back(graph.add_constant("b", uniform({c.outputs}, 2)));
  graph.set_outputs({op(graph, "layer", c.op_name, inputs, c.attrs)});
  return graph;
}

TEST(FuseBnBeforeConv, FoldsWhereEveryOutputSumsTheWholeKernel) {
  const std::vector<Case> cases = {
      {"conv", {2, 3, 9}, {5, 3, 4}, 5, {{"strides", Ints{2}}}},
      {"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, {{"auto_pad", std::string("VALID")}}},
      {"conv", {1, 3, 4, 5, 6}, {7, 3, 2, 3, 2}, 7, {}},
      {"conv", {1, 6, 5, 8}, {9, 2, 3, 3}, 9, {{"group", int64_t{3}}, {"pads", Ints{0, 0, 0, 0}}}},
      {"conv", {1, 7, 5, 8}, {7, 1, 3, 3}, 7, {{"group", int64_t{7}}}},
      {"gemm", {3, 7}, {7, 5}, 5, {{"alpha", 0.5}, {"beta", 2.0}}},
      {"gemm", {3, 7}, {5, 7}, 5, {{"transB", int64_t{1}}}},
  };
  for (const Case& c : cases) {
    for (const bool bias : {false, true}) {
      SCOPED_TRACE(c.op_name + " " + to_string(c.weight) + (bias ? " with bias" : ""));
      EXPECT_EQ(node_names(run_pass(batch_norm_and_layer(c, bias), kPass).graph), Strings{"layer"});
    }
  }
}

TEST(FuseBnBeforeConv, FoldsAPureFactorIntoPaddedAndTransposedLayersToo) {
  const std::vector<Case> cases = {
      {"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, {{"pads", Ints{1, 0, 2, 1}}}, false},
      {"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, {{"auto_pad", std::string("SAME_UPPER")}}, false},
      {"conv_transpose", {1, 6, 4, 5}, {10, 3, 3, 3}, 10, {{"group", int64_t{2}}, {"strides", Ints{2, 1}}}, false},
      {"matmul", {3, 7}, {7, 5}, 5, {}, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.op_name + " " + to_string(c.weight));
    EXPECT_EQ(run_pass(batch_norm_and_layer(c, false), kPass).changes, 1);
  }
}

TEST(FuseBnBeforeConv, LeavesPaddedConvolutionsAloneForTheBorderIsZeroBehindTheShift) {
  for (const Attrs& attrs : {Attrs{{"pads", Ints{1, 0, 0, 0}}}, Attrs{{"auto_pad", std::string("SAME_LOWER")}}}) {
    const Ran ran = run_pass(batch_norm_and_layer({"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, attrs}, true), kPass);
    EXPECT_EQ(ran.changes, 0);
    EXPECT_TRUE(ran.left_alone("layer", "padding is zero only before the shift"));
  }
}

TEST(FuseBnBeforeConv, LeavesShiftsAloneBeforeTransposedConvolutionsAndMatmuls) {
  EXPECT_TRUE(run_pass(batch_norm_and_layer({"conv_transpose", {1, 3, 4, 5}, {5, 3, 3, 3}, 5, {}}, false), kPass)
                  .left_alone("layer", "does not sum all kernel elements"));
  EXPECT_TRUE(
      run_pass(batch_norm_and_layer({"matmul", {3, 7}, {7, 5}, 5, {}}, false), kPass).left_alone("layer", "no bias"));
}

TEST(FuseBnBeforeConv, LeavesBatchNormAloneWhoseResultOthersRead) {
  Graph graph;
  const ValueId y = batch_norm(graph, float_input(graph, {1, 3, 4, 5}), 3);
  const ValueId w = graph.add_constant("w", uniform({5, 3, 1, 1}, 1));
  graph.set_outputs({y, op(graph, "layer", "conv", {y, w})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FuseBnBeforeConv, LeavesGemmAloneThatTransposesItsData) {
  const Ran ran = run_pass(batch_norm_and_layer({"gemm", {7, 3}, {7, 5}, 5, {{"transA", int64_t{1}}}}, true), kPass);
  EXPECT_TRUE(ran.left_alone("layer", "transposes its data"));
}

TEST(FuseBnBeforeConv, LeavesSequencesAloneWhereChannelsAreNotTheFeatures) {
  Graph graph;
  const ValueId y = batch_norm(graph, float_input(graph, {2, 3, 7}), 3, false);
  const ValueId w = graph.add_constant("w", uniform({7, 5}, 1));
  graph.set_outputs({op(graph, "layer", "matmul", {y, w})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "no constant map"));
}

TEST(FuseBnBeforeConv, LeavesLayersAloneThatTheUserNames) {
  const Graph graph = batch_norm_and_layer({"conv", {2, 3, 9, 7}, {5, 3, 3, 2}, 5, {}}, true);
  EXPECT_EQ(run_pass(graph, kPass, {"layer"}).changes, 0);
}

}  // namespace
}  // namespace amct::testing

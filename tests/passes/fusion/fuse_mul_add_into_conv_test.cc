#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_mul_add_into_conv";

ValueId layer(Graph& graph, std::string_view op_name, const Dims& input, const Dims& weight, Attrs attrs = {}) {
  const ValueId w = graph.add_constant("w", uniform(weight, 1));
  return op(graph, "layer", op_name, {float_input(graph, input), w}, std::move(attrs));
}

ValueId apply(Graph& graph, std::string_view name, std::string_view op_name, ValueId x, Tensor constant,
              bool left = false) {
  const ValueId c = graph.add_constant(std::string(name) + ".c", std::move(constant));
  return op(graph, name, op_name, left ? std::vector<ValueId>{c, x} : std::vector<ValueId>{x, c});
}

TEST(FuseMulAddIntoConv, FoldsAllFourOperatorsOnBothSides) {
  for (const Tensor& constant : {uniform({5, 1, 1}, 2, 0.5f, 2), Tensor::scalar(1.5f)}) {
    Graph graph;
    ValueId y = layer(graph, "conv", {2, 3, 6, 7}, {5, 3, 2, 3}, {{"pads", Ints{1, 0, 0, 1}}});
    y = apply(graph, "add", "add", y, constant);
    y = apply(graph, "add_left", "add", y, constant, true);
    y = apply(graph, "mul", "mul", y, constant);
    y = apply(graph, "mul_left", "mul", y, constant, true);
    y = apply(graph, "sub", "sub", y, constant);
    y = apply(graph, "sub_left", "sub", y, constant, true);
    y = apply(graph, "div", "div", y, constant);
    graph.set_outputs({y});
    EXPECT_EQ(node_names(run_pass(graph, kPass).graph), Strings{"layer"});
  }
}

TEST(FuseMulAddIntoConv, FoldsIntoTransposedConvolutionGemmAndMatmul) {
  Graph transposed;
  ValueId y = layer(transposed, "conv_transpose", {1, 6, 4, 5}, {10, 3, 3, 3}, {{"group", int64_t{2}}});
  transposed.set_outputs({apply(transposed, "y", "mul", y, uniform({1, 10, 1, 1}, 3))});
  EXPECT_EQ(run_pass(transposed, kPass).changes, 1);

  Graph gemm;
  y = layer(gemm, "gemm", {3, 7}, {5, 7}, {{"transB", int64_t{1}}});
  gemm.set_outputs({apply(gemm, "y", "add", apply(gemm, "m", "mul", y, uniform({5}, 3)), uniform({1, 5}, 4))});
  EXPECT_EQ(run_pass(gemm, kPass).changes, 2);

  Graph matmul;
  y = layer(matmul, "matmul", {2, 3, 7}, {7, 5});
  matmul.set_outputs({apply(matmul, "y", "mul", y, uniform({5}, 3))});
  EXPECT_EQ(run_pass(matmul, kPass).changes, 1);

  Graph batched;
  y = layer(batched, "matmul", {2, 3, 7}, {2, 7, 5});
  batched.set_outputs({apply(batched, "y", "div", y, Tensor::scalar(3.0f))});
  EXPECT_EQ(run_pass(batched, kPass).changes, 1);
}

TEST(FuseMulAddIntoConv, KeepsTheWeightWhereOnlyTheBiasChanges) {
  Graph graph;
  graph.set_outputs(
      {apply(graph, "y", "add", layer(graph, "conv", {1, 3, 4, 5}, {5, 3, 1, 1}), uniform({5, 1, 1}, 2))});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.graph.value(ran.graph.find_value("w")).data.view().data,
            graph.value(graph.find_value("w")).data.view().data);
}

TEST(FuseMulAddIntoConv, LeavesASummandAloneBehindAMatmul) {
  Graph graph;
  graph.set_outputs({apply(graph, "y", "add", layer(graph, "matmul", {2, 3, 7}, {7, 5}), uniform({5}, 2))});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "no bias"));
}

TEST(FuseMulAddIntoConv, LeavesConstantsAloneThatVaryAlongOtherAxes) {
  Graph graph;
  graph.set_outputs({apply(graph, "y", "mul", layer(graph, "conv", {1, 3, 4, 5}, {5, 3, 1, 1}), uniform({5}, 2))});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "no constant map"));
}

TEST(FuseMulAddIntoConv, LeavesConstantsAloneThatWiden) {
  Graph graph;
  graph.set_outputs(
      {apply(graph, "y", "add", layer(graph, "conv", {1, 3, 4, 5}, {1, 3, 1, 1}), uniform({5, 1, 1}, 2))});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
  Graph ranked;
  ranked.set_outputs({apply(ranked, "y", "mul", layer(ranked, "gemm", {3, 7}, {7, 5}), uniform({2, 1, 1}, 2))});
  EXPECT_EQ(run_pass(ranked, kPass).changes, 0);
}

TEST(FuseMulAddIntoConv, LeavesRowsOfAGemmAlone) {
  Graph graph;
  graph.set_outputs({apply(graph, "y", "mul", layer(graph, "gemm", {5, 7}, {7, 5}), uniform({5, 1}, 2))});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FuseMulAddIntoConv, LeavesDivisionByZeroAndOfAConstantAlone) {
  Graph graph;
  const Tensor zero = Tensor::of<float>({2, 1, 1}, {1, 0});
  graph.set_outputs({apply(graph, "y", "div", layer(graph, "conv", {1, 3, 4, 5}, {2, 3, 1, 1}), zero)});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "not finite"));
  Graph reversed;
  const ValueId y = layer(reversed, "conv", {1, 3, 4, 5}, {2, 3, 1, 1});
  reversed.set_outputs({apply(reversed, "y", "div", y, Tensor::scalar(2.0f), true)});
  EXPECT_EQ(run_pass(reversed, kPass).changes, 0);
}

TEST(FuseMulAddIntoConv, LeavesResidualSumsAlone) {
  Graph graph;
  const ValueId y = layer(graph, "conv", {1, 3, 4, 5}, {3, 3, 1, 1});
  graph.set_outputs({op(graph, "y", "add", {y, graph.find_value("x")})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.report.passes.empty());
}

TEST(FuseMulAddIntoConv, LeavesALayerAloneWhoseResultOthersRead) {
  Graph graph;
  const ValueId y = layer(graph, "conv", {1, 3, 4, 5}, {3, 3, 1, 1});
  graph.set_outputs({op(graph, "y", "add", {y, apply(graph, "m", "mul", y, Tensor::scalar(2.0f))})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "other uses"));
}

TEST(FuseMulAddIntoConv, LeavesLayersAloneThatTheUserNames) {
  Graph graph;
  graph.set_outputs({apply(graph, "y", "mul", layer(graph, "conv", {1, 3, 4, 5}, {3, 3, 1, 1}), Tensor::scalar(2.0f))});
  EXPECT_EQ(run_pass(graph, kPass, {"layer"}).changes, 0);
}

}  // namespace
}  // namespace amct::testing

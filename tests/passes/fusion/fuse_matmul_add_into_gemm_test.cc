#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_matmul_add_into_gemm";

Graph product_and_sum(const Dims& input, const Dims& weight, const Dims& bias, bool left = false) {
  Graph graph;
  const ValueId w = graph.add_constant("w", uniform(weight, 1));
  const ValueId y = op(graph, "layer", "matmul", {float_input(graph, input), w});
  const ValueId b = graph.add_constant("b", uniform(bias, 2));
  graph.set_outputs({op(graph, "sum", "add", left ? std::vector<ValueId>{b, y} : std::vector<ValueId>{y, b})});
  return graph;
}

TEST(FuseMatmulAddIntoGemm, FoldsOneNumberPerColumnAndScalars) {
  for (const Dims& bias : {Dims{5}, Dims{1, 5}, Dims{1}, Dims{}, Dims{1, 1}}) {
    for (const bool left : {false, true}) {
      SCOPED_TRACE(to_string(bias));
      const Ran ran = run_pass(product_and_sum({3, 7}, {7, 5}, bias, left), kPass);
      EXPECT_EQ(node_names(ran.graph), Strings{"layer"}) << "the gemm keeps the key of the matmul";
      EXPECT_EQ(op_names(ran.graph), Strings{"gemm"});
    }
  }
}

TEST(FuseMatmulAddIntoGemm, WorksWithANamedBatch) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim::named("N"), Dim(7)})});
  const ValueId y = op(graph, "layer", "matmul", {x, graph.add_constant("w", uniform({7, 5}, 1))});
  graph.set_outputs({op(graph, "sum", "add", {y, graph.add_constant("b", uniform({5}, 2))})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 1);
}

TEST(FuseMatmulAddIntoGemm, LeavesBatchedProductsAlone) {
  EXPECT_TRUE(run_pass(product_and_sum({2, 3, 7}, {7, 5}, {5}), kPass).left_alone("layer", "not of rank 2"));
  EXPECT_TRUE(run_pass(product_and_sum({3, 7}, {2, 7, 5}, {5}), kPass).left_alone("layer", "not of rank 2"));
  EXPECT_EQ(run_pass(product_and_sum({7}, {7, 5}, {5}), kPass).changes, 0);
}

TEST(FuseMatmulAddIntoGemm, LeavesSummandsAloneThatVaryAlongRowsOrWiden) {
  EXPECT_TRUE(run_pass(product_and_sum({3, 7}, {7, 5}, {3, 1}), kPass).left_alone("layer", "per column"));
  EXPECT_TRUE(run_pass(product_and_sum({3, 7}, {7, 5}, {3, 5}), kPass).left_alone("layer", "per column"));
  EXPECT_EQ(run_pass(product_and_sum({3, 7}, {7, 1}, {5}), kPass).changes, 0);
  EXPECT_EQ(run_pass(product_and_sum({3, 7}, {7, 5}, {2, 1, 5}), kPass).changes, 0);
}

TEST(FuseMatmulAddIntoGemm, LeavesResidualsAlone) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId y = op(graph, "layer", "matmul", {x, graph.add_constant("w", uniform({7, 7}, 1))});
  graph.set_outputs({op(graph, "sum", "add", {y, x})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "computed"));
}

TEST(FuseMatmulAddIntoGemm, LeavesProductsOfActivationsAlone) {
  Graph graph;
  const ValueId y = op(graph, "layer", "matmul", {float_input(graph, {3, 7}), float_input(graph, {7, 5}, "z")});
  graph.set_outputs({op(graph, "sum", "add", {y, graph.add_constant("b", uniform({5}, 2))})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FuseMatmulAddIntoGemm, LeavesProductsAloneThatOthersRead) {
  Graph graph;
  const ValueId w = graph.add_constant("w", uniform({7, 5}, 1));
  const ValueId y = op(graph, "layer", "matmul", {float_input(graph, {3, 7}), w});
  graph.set_outputs({y, op(graph, "sum", "add", {y, graph.add_constant("b", uniform({5}, 2))})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FuseMatmulAddIntoGemm, LeavesLayersAloneThatTheUserNames) {
  EXPECT_TRUE(run_pass(product_and_sum({3, 7}, {7, 5}, {5}), kPass, {"layer"}).left_alone("layer", "left alone"));
}

}  // namespace
}  // namespace amct::testing

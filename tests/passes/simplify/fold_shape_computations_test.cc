#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

// y = reshape(neg(x), concat(gather(shape(x), 0), -1)): what exporters write for x.view(x.size(0), -1).
Graph flatten_by_hand(Dim batch) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({batch, Dim(3), Dim(5)})});
  const ValueId shape = op(graph, "shape", "shape", {x});
  const ValueId zero = graph.add_constant("zero", ints({0}));
  const ValueId first = op(graph, "first", "gather", {shape, zero}, {{"axis", int64_t{0}}});
  const ValueId rest = graph.add_constant("rest", ints({-1}));
  const ValueId target = op(graph, "target", "concat", {first, rest}, {{"axis", int64_t{0}}});
  const ValueId n = op(graph, "n", "neg", {x});
  graph.set_outputs({op(graph, "y", "reshape", {n, target})});
  return graph;
}

TEST(FoldShapeComputations, TurnsTheTargetOfAFixedShapeIntoAConstant) {
  const Ran ran = run_pass(flatten_by_hand(Dim(2)), "fold_shape_computations");
  EXPECT_GT(ran.changes, 0);
  const Node& reshape = ran.graph.node(ran.graph.find_node("y"));
  const Tensor* target = ran.graph.constant(reshape.input(1));
  ASSERT_NE(target, nullptr);
  EXPECT_EQ(target->to_int64s(), (std::vector<int64_t>{2, -1}));
  EXPECT_EQ(ran.graph.find_value("target"), reshape.input(1)) << "the constant keeps the name";
  Graph graph = ran.graph;
  run_passes(graph, simplify_passes(), {.check = true});
  EXPECT_EQ(node_names(graph), (Strings{"n", "y"}));
}

TEST(FoldShapeComputations, LeavesAloneWhatDependsOnANamedDim) {
  const Ran ran = run_pass(flatten_by_hand(Dim::named("N")), "fold_shape_computations");
  EXPECT_EQ(ran.changes, 0);
}

TEST(FoldShapeComputations, LeavesAloneWhatDependsOnAnUnknownDim) {
  EXPECT_EQ(run_pass(flatten_by_hand(Dim()), "fold_shape_computations").changes, 0);
}

TEST(FoldShapeComputations, LeavesQuantizedWeightsPacked) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 4});
  const ValueId q = graph.add_constant("q", Tensor::of<int8_t>({4, 1}, {1, -2, 3, 127}));
  const ValueId scale = graph.add_constant("scale", Tensor::scalar(0.5f));
  const ValueId w = op(graph, "w", "dequantize_linear", {q, scale});
  graph.set_outputs({op(graph, "y", "mul", {x, op(graph, "turned", "transpose", {w})})});
  EXPECT_EQ(run_pass(graph, "fold_shape_computations").changes, 0);
}

TEST(FoldShapeComputations, LeavesAloneGraphOutputs) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3});
  graph.set_outputs({op(graph, "y", "shape", {x})});
  EXPECT_EQ(run_pass(graph, "fold_shape_computations").changes, 0);
}

}  // namespace
}  // namespace amct::testing

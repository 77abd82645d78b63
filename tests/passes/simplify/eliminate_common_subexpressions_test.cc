#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

TEST(EliminateCommonSubexpressions, JoinsWholeBranches) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3});
  ValueId ends[2];
  for (int i = 0; i < 2; ++i) {  // constants of equal bytes make equal branches
    const ValueId c = graph.add_constant("c", uniform({3}, 1));
    ends[i] = op(graph, "turn", "transpose", {op(graph, "add", "add", {x, c})}, {{"perm", Ints{1, 0}}});
  }
  graph.set_outputs({op(graph, "y", "mul", {ends[0], ends[1]})});
  const Ran ran = run_pass(graph, "eliminate_common_subexpressions");
  EXPECT_EQ(node_names(ran.graph), (Strings{"add", "turn", "y"}));
}

TEST(EliminateCommonSubexpressions, TheGraphOutputKeepsItsName) {
  Graph graph;
  const ValueId x = float_input(graph, {3});
  const ValueId a = op(graph, "a", "neg", {x});
  const ValueId y = op(graph, "y", "neg", {x});
  graph.set_outputs({op(graph, "z", "abs", {a}), y});
  const Ran ran = run_pass(graph, "eliminate_common_subexpressions");
  EXPECT_EQ(node_names(ran.graph), (Strings{"a", "z"}));
  EXPECT_EQ(ran.graph.value(ran.graph.node(ran.graph.find_node("a")).output()).name, "y");
}

TEST(EliminateCommonSubexpressions, KeepsEqualGraphOutputsApart) {
  Graph graph;
  const ValueId x = float_input(graph, {3});
  graph.set_outputs({op(graph, "a", "neg", {x}), op(graph, "b", "neg", {x})});
  const Ran ran = run_pass(graph, "eliminate_common_subexpressions");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("b", "both are graph outputs"));
}

TEST(EliminateCommonSubexpressions, KeepsDifferentAttributesInputsAndOperators) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 3});
  const ValueId z = float_input(graph, {3, 3}, "z");
  const ValueId a = op(graph, "a", "transpose", {x}, {{"perm", Ints{1, 0}}});
  const ValueId b = op(graph, "b", "transpose", {x}, {{"perm", Ints{0, 1}}});
  const ValueId c = op(graph, "c", "transpose", {z}, {{"perm", Ints{1, 0}}});
  const ValueId d = op(graph, "d", "sub", {x, z});
  const ValueId e = op(graph, "e", "sub", {z, x});
  ValueId sum = a;
  for (const ValueId next : {b, c, d, e}) sum = op(graph, "sum", "add", {sum, next});
  graph.set_outputs({sum});
  EXPECT_EQ(run_pass(graph, "eliminate_common_subexpressions").changes, 0);
}

TEST(EliminateCommonSubexpressions, KeepsConstantsThatDifferInType) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId n = graph.add_input("n", {DType::kInt32, Shape::of({2})});
  const ValueId a = op(graph, "a", "add", {x, graph.add_constant("c", Tensor::scalar(0.0f))});
  const ValueId b = op(graph, "b", "add", {n, graph.add_constant("d", Tensor::scalar(int32_t{0}))});
  graph.set_outputs({a, b});
  EXPECT_EQ(run_pass(graph, "eliminate_common_subexpressions").changes, 0);
}

TEST(EliminateCommonSubexpressions, TellsLargeConstantsApartThatDifferInTheMiddle) {
  Graph graph;
  const ValueId x = float_input(graph, {101});
  std::vector<float> numbers(101, 1);
  const ValueId a = op(graph, "a", "mul", {x, graph.add_constant("c", Tensor::of<float>({101}, numbers))});
  numbers[50] = 2;
  const ValueId b = op(graph, "b", "mul", {x, graph.add_constant("d", Tensor::of<float>({101}, numbers))});
  graph.set_outputs({op(graph, "y", "sub", {a, b})});
  EXPECT_EQ(run_pass(graph, "eliminate_common_subexpressions").changes, 0);
}

TEST(EliminateCommonSubexpressions, KeepsRandomOperators) {
  OpRow random = op_table().get("neg");
  random.deterministic = false;
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId a = graph.node(graph.add_node("a", "neg", &random, {x}, {"a"})).output();
  const ValueId b = graph.node(graph.add_node("b", "neg", &random, {x}, {"b"})).output();
  graph.set_outputs({op(graph, "y", "add", {a, b})});
  EXPECT_EQ(run_pass(graph, "eliminate_common_subexpressions").changes, 0);
}

TEST(EliminateCommonSubexpressions, LeavesWeightsWithTheirLayers) {
  Graph graph;
  const ValueId x = float_input(graph, {1, 3, 5, 4});
  const ValueId z = float_input(graph, {1, 3, 5, 4}, "z");
  const ValueId a = op(graph, "a", "conv", {x, graph.add_constant("w", uniform({2, 3, 1, 1}, 1))});
  const ValueId b = op(graph, "b", "conv", {z, graph.add_constant("v", uniform({2, 3, 1, 1}, 1))});
  graph.set_outputs({op(graph, "y", "add", {a, b})});
  EXPECT_EQ(run_pass(graph, "eliminate_common_subexpressions").changes, 0);
}

}  // namespace
}  // namespace amct::testing

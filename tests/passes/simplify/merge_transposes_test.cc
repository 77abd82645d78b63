#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

ValueId turn(Graph& graph, std::string_view name, ValueId x, const Ints& perm) {
  return op(graph, name, "transpose", {x}, {{"perm", perm}});
}

TEST(MergeTransposes, ComposesInTheRightOrder) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3, 5, 7});
  const ValueId a = turn(graph, "a", x, {1, 2, 3, 0});
  graph.set_outputs({turn(graph, "b", a, {2, 0, 1, 3})});
  const Ran ran = run_pass(graph, "merge_transposes");
  EXPECT_EQ(node_names(ran.graph), Strings{"b"});
  EXPECT_EQ(ran.graph.node(ran.graph.find_node("b")).attrs.require<Ints>("perm"), (Ints{3, 1, 2, 0}));
}

TEST(MergeTransposes, JoinsChainsInOneRun) {
  Graph graph;
  ValueId x = float_input(graph, {2, 3, 5});
  for (const char* name : {"a", "b", "c", "d"}) x = turn(graph, name, x, {1, 2, 0});
  graph.set_outputs({x});
  const Ran ran = run_pass(graph, "merge_transposes");
  EXPECT_EQ(node_names(ran.graph), Strings{"d"});
}

TEST(MergeTransposes, RemovesPairsThatCancelEvenIfTheFirstHasOtherUses) {
  Graph graph;
  const ValueId x = op(graph, "n", "neg", {float_input(graph, {2, 3, 5, 4})});
  const ValueId a = turn(graph, "a", x, {0, 2, 3, 1});
  const ValueId b = turn(graph, "b", a, {0, 3, 1, 2});
  graph.set_outputs({a, op(graph, "y", "neg", {b})});
  const Ran ran = run_pass(graph, "merge_transposes");
  EXPECT_EQ(node_names(ran.graph), (Strings{"n", "a", "y"}));
}

TEST(MergeTransposes, UnderstandsTheDefaultOrder) {
  Graph graph;
  const ValueId x = op(graph, "n", "neg", {float_input(graph, {2, 3, 5})});
  const ValueId b = op(graph, "b", "transpose", {op(graph, "a", "transpose", {x})});
  graph.set_outputs({op(graph, "y", "neg", {b})});
  EXPECT_EQ(node_names(run_pass(graph, "merge_transposes").graph), (Strings{"n", "y"}));
}

TEST(MergeTransposes, KeepsThemWhereTheFirstHasOtherUses) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3, 5});
  const ValueId a = turn(graph, "a", x, {1, 2, 0});
  graph.set_outputs({a, turn(graph, "b", a, {1, 2, 0})});
  EXPECT_EQ(run_pass(graph, "merge_transposes").changes, 0);
}

TEST(MergeTransposes, KeepsPairsThatCancelBetweenInputAndOutput) {
  Graph graph;
  const ValueId a = turn(graph, "a", float_input(graph, {2, 3}), {1, 0});
  graph.set_outputs({turn(graph, "y", a, {1, 0})});
  const Ran ran = run_pass(graph, "merge_transposes");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("y", "graph output"));
}

}  // namespace
}  // namespace amct::testing

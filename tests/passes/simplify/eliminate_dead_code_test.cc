#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

TEST(EliminateDeadCode, RemovesChainsAndTheirConstants) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3});
  const ValueId c = graph.add_constant("c", uniform({3}, 1));
  graph.add_constant("never_read", uniform({3}, 2));
  op(graph, "dead_2", "neg", {op(graph, "dead_1", "add", {x, c})});
  graph.set_outputs({op(graph, "y", "neg", {x})});
  const Ran ran = run_pass(graph, "eliminate_dead_code");
  EXPECT_EQ(node_names(ran.graph), Strings{"y"});
  EXPECT_FALSE(ran.graph.find_value("c").valid());
  EXPECT_FALSE(ran.graph.find_value("never_read").valid());
}

TEST(EliminateDeadCode, KeepsUnusedInputsAndVariables) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  float_input(graph, {7}, "unused");
  graph.add_variable("v", Tensor::of<float>({1}, {1}));
  graph.set_outputs({op(graph, "y", "neg", {x})});
  const Ran ran = run_pass(graph, "eliminate_dead_code");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.graph.find_value("unused").valid());
  EXPECT_TRUE(ran.graph.find_value("v").valid());
}

TEST(EliminateDeadCode, KeepsNodesWithOneOutputInUse) {
  Graph graph;
  const ValueId x = float_input(graph, {4, 3});
  const NodeId split = graph.add_node("split", "split", &op_table().get("split"), {x}, {"s0", "s1"},
                                      {{"axis", int64_t{0}}, {"num_outputs", int64_t{2}}});
  graph.set_outputs({graph.node(split).output(1)});
  EXPECT_EQ(run_pass(graph, "eliminate_dead_code").changes, 0);
}

TEST(EliminateDeadCode, KeepsConstantsThatAreGraphOutputs) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId c = graph.add_constant("c", Tensor::scalar(1.0f));
  graph.set_outputs({op(graph, "y", "neg", {x}), c});
  EXPECT_EQ(run_pass(graph, "eliminate_dead_code").changes, 0);
}

TEST(EliminateDeadCode, KeepsOpaqueNodesForNobodyKnowsWhatTheyDo) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  graph.add_node("custom", "my.domain::Print", nullptr, {x}, {"c"});
  graph.set_outputs({op(graph, "y", "neg", {x})});
  const Ran ran = run_pass(graph, "eliminate_dead_code");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("custom", "not known"));
}

}  // namespace
}  // namespace amct::testing

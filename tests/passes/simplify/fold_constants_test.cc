#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

TEST(FoldConstants, ComputesChainsOfConstants) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3});
  const ValueId a = graph.add_constant("a", uniform({3}, 1));
  const ValueId b = graph.add_constant("b", uniform({2, 1}, 2));
  const ValueId sum = op(graph, "sum", "add", {a, b});
  const ValueId negated = op(graph, "negated", "neg", {sum});
  graph.set_outputs({op(graph, "y", "mul", {x, negated})});
  const Ran ran = run_pass(graph, "fold_constants");
  EXPECT_EQ(node_names(ran.graph), Strings{"y"});
  const ValueId constant = ran.graph.find_value("negated");
  ASSERT_TRUE(constant.valid()) << "the constant keeps the name of the value it replaces";
  EXPECT_TRUE(ran.graph.value(constant).is_constant());
  EXPECT_FALSE(ran.graph.find_value("a").valid()) << "operands that nobody reads go";
}

TEST(FoldConstants, ComputesAllOutputs) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5});
  const ValueId c = graph.add_constant("c", uniform({4, 5}, 1));
  const NodeId split = graph.add_node("split", "split", &op_table().get("split"), {c}, {"s0", "s1"},
                                      {{"axis", int64_t{0}}, {"num_outputs", int64_t{2}}});
  const ValueId first = op(graph, "first", "add", {x, graph.node(split).output(0)});
  graph.set_outputs({op(graph, "y", "mul", {first, graph.node(split).output(1)})});
  const Ran ran = run_pass(graph, "fold_constants");
  EXPECT_EQ(node_names(ran.graph), (Strings{"first", "y"}));
}

TEST(FoldConstants, LeavesAloneWhatWouldBeTooLarge) {
  Graph graph;
  const ValueId x = float_input(graph, {1});
  const ValueId c = graph.add_constant("c", Tensor::of<float>({1}, {2}));
  const ValueId wide = op(graph, "wide", "expand", {c, graph.add_constant("shape", ints({600, 1000}))});
  graph.set_outputs({op(graph, "y", "mul", {x, wide})});
  const Ran ran = run_pass(graph, "fold_constants");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("wide", "too large"));
}

TEST(FoldConstants, LeavesAloneWhatNoMemoryCouldHold) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({1})});
  const ValueId c = graph.add_constant("c", Tensor::of<float>({1}, {2}));
  const ValueId wide = op(graph, "wide", "expand", {c, graph.add_constant("shape", ints({1 << 23, 1 << 23}))});
  graph.set_outputs({op(graph, "y", "mul", {x, wide})});
  const PipelineReport report = run_passes(graph, {pass_named("fold_constants")});
  ASSERT_EQ(report.passes.size(), 1u);
  EXPECT_EQ(report.passes[0].second.changes, 0);
}

TEST(FoldConstants, FoldsLargeResultsThatDoNotOutgrowTheirInputs) {
  Graph graph;
  const ValueId x = float_input(graph, {1});
  const ValueId c = graph.add_constant("c", uniform({600, 1000}, 3));
  graph.set_outputs({op(graph, "y", "mul", {x, op(graph, "turned", "transpose", {c})})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 1);
}

TEST(FoldConstants, LeavesAloneGraphOutputs) {
  Graph graph;
  float_input(graph, {1});
  graph.set_outputs({op(graph, "y", "neg", {graph.add_constant("c", Tensor::scalar(1.0f))})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 0);
}

TEST(FoldConstants, LeavesAloneVariables) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId v = graph.add_variable("v", Tensor::of<float>({2}, {1, 2}));
  graph.set_outputs({op(graph, "y", "add", {x, op(graph, "n", "neg", {v})})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 0);
}

TEST(FoldConstants, LeavesAloneRandomOperators) {
  OpRow random = op_table().get("neg");
  random.deterministic = false;
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId c = graph.add_constant("c", Tensor::of<float>({2}, {1, 2}));
  const ValueId n = graph.node(graph.add_node("n", "neg", &random, {c}, {"n"})).output();
  graph.set_outputs({op(graph, "y", "add", {x, n})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 0);
}

TEST(FoldConstants, LeavesAloneOpaqueNodes) {
  Graph graph;
  const ValueId x = float_input(graph, {2});
  const ValueId c = graph.add_constant("c", Tensor::of<float>({2}, {1, 2}));
  const ValueId n = graph.node(graph.add_node("n", "my.domain::Op", nullptr, {c}, {"n"})).output();
  op(graph, "unread", "neg", {n});
  graph.set_outputs({op(graph, "y", "neg", {x})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 0);
}

TEST(FoldConstants, LeavesQuantizedWeightsPacked) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 4});
  const ValueId q = graph.add_constant("q", Tensor::of<int8_t>({4}, {1, -2, 3, 127}));
  const ValueId scale = graph.add_constant("scale", Tensor::scalar(0.5f));
  const ValueId zero = graph.add_constant("zero", Tensor::scalar(int8_t{0}));
  const ValueId w = op(graph, "w", "dequantize_linear", {q, scale, zero});
  graph.set_outputs({op(graph, "y", "mul", {x, w})});
  EXPECT_EQ(run_pass(graph, "fold_constants").changes, 0);
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

ValueId reshape(Graph& graph, std::string_view name, ValueId x, const std::vector<int64_t>& target) {
  return op(graph, name, "reshape", {x, graph.add_constant(std::string(name) + ".t", ints(target))});
}

std::vector<int64_t> target_of(const Ran& ran, std::string_view node) {
  return ran.graph.constant(ran.graph.node(ran.graph.find_node(node)).input(1))->to_int64s();
}

TEST(MergeReshapes, JoinsEveryMix) {
  Graph graph;
  const ValueId x = float_input(graph, {4, 6, 1, 5});
  const ValueId a = op(graph, "a", "squeeze", {x, graph.add_constant("axes", ints({2}))});
  const ValueId b = reshape(graph, "b", a, {4, 3, 2, 5});
  const ValueId c = op(graph, "c", "flatten", {b}, {{"axis", int64_t{2}}});
  graph.set_outputs({op(graph, "y", "unsqueeze", {c, graph.add_constant("axis", ints({1}))})});
  const Ran ran = run_pass(graph, "merge_reshapes");
  EXPECT_EQ(node_names(ran.graph), Strings{"y"});
  EXPECT_EQ(op_names(ran.graph), Strings{"reshape"});
  EXPECT_EQ(target_of(ran, "y"), (std::vector<int64_t>{12, 1, 10}));
}

TEST(MergeReshapes, CopiesANamedBatch) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim::named("N"), Dim(6), Dim(1), Dim(1)})});
  const ValueId a = op(graph, "a", "squeeze", {x, graph.add_constant("axes", ints({2, 3}))});
  graph.set_outputs({op(graph, "y", "unsqueeze", {a, graph.add_constant("axis", ints({1}))})});
  const Ran ran = run_pass(graph, "merge_reshapes");
  EXPECT_EQ(node_names(ran.graph), Strings{"y"});
  EXPECT_EQ(target_of(ran, "y"), (std::vector<int64_t>{0, 1, 6}));
}

TEST(MergeReshapes, LeavesAloneTwoOpenDims) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim(1), Dim::named("A"), Dim::named("B")})});
  const ValueId a = op(graph, "a", "squeeze", {x, graph.add_constant("axes", ints({0}))});
  graph.set_outputs({op(graph, "y", "unsqueeze", {a, graph.add_constant("axis", ints({1}))})});
  const Ran ran = run_pass(graph, "merge_reshapes");
  EXPECT_EQ(ran.changes, 0);
}

TEST(MergeReshapes, LeavesAloneWhatOthersRead) {
  Graph graph;
  const ValueId a = reshape(graph, "a", float_input(graph, {2, 6}), {3, 4});
  graph.set_outputs({a, reshape(graph, "y", a, {12})});
  EXPECT_EQ(run_pass(graph, "merge_reshapes").changes, 0);
}

TEST(MergeReshapes, LeavesAloneEmptyTensors) {
  Graph graph;
  const ValueId a = reshape(graph, "a", float_input(graph, {0, 6}), {0, 3, 2});
  graph.set_outputs({op(graph, "y", "flatten", {a}, {{"axis", int64_t{2}}})});
  EXPECT_EQ(run_pass(graph, "merge_reshapes").changes, 0);
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/control_flow.h"
#include "passes/pass_testing.h"
#include "support/subgraphs.h"

namespace amct::testing {
namespace {

// y = if(c, x, w, s): conv(x, w) times a channel factor from s; or x.
Graph branching() {
  auto yes = std::make_shared<Graph>();
  const TensorType image{DType::kFloat32, Shape::of({1, 3, 5, 4})};
  const ValueId x = yes->add_input("x", image);
  const ValueId w = yes->add_input("w", {DType::kFloat32, Shape::of({3, 3, 3, 3})});
  const ValueId s = yes->add_input("s", {DType::kFloat32, Shape::of({3, 1, 1})});
  const ValueId conv = op(*yes, "conv", "conv", {x, w}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId twice = op(*yes, "twice", "add", {s, s});
  yes->set_outputs({op(*yes, "scaled", "mul", {conv, twice})});
  auto no = std::make_shared<Graph>();
  const ValueId same = no->add_input("x", image);
  no->add_input("w", {DType::kFloat32, Shape::of({3, 3, 3, 3})});
  no->add_input("s", {DType::kFloat32, Shape::of({3, 1, 1})});
  no->set_outputs({op(*no, "copy", "identity", {same})});

  Graph graph;
  const ValueId c = graph.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId outer = graph.add_input("x", image);
  const ValueId weight = graph.add_constant("w", uniform({3, 3, 3, 3}, 1));
  const ValueId factor = graph.add_constant("s", uniform({3, 1, 1}, 2));
  graph.set_outputs({op(graph, "y", "if", {c, outer, weight, factor}, if_attrs(yes, no, 3))});
  return graph;
}

const Graph& inside(const Graph& graph, std::string_view attr) {
  const Node& node = graph.node(graph.find_node("y"));
  return *node.attrs.require<GraphPtr>(attr);
}

size_t captures(const Graph& graph) { return capture_count(graph.node(graph.find_node("y"))); }

TEST(SimplifySubgraphs, ConstantsMoveInAndFold) {
  const Ran ran = run_pass(branching(), "simplify_subgraphs");
  EXPECT_EQ(captures(ran.graph), 1u);
  EXPECT_EQ(inside(ran.graph, "then_branch").inputs().size(), 1u);
  EXPECT_EQ(inside(ran.graph, "else_branch").inputs().size(), 1u);
}

TEST(SimplifySubgraphs, TheWholeListRunsInside) {
  Graph graph = branching();
  run_passes(graph, simplify_passes(), {.check = true});
  EXPECT_EQ(op_names(inside(graph, "then_branch")), (Strings{"conv", "mul"}));
}

TEST(FuseInSubgraphs, FactorsGoIntoConvolutionsInside) {
  Graph graph = branching();
  run_passes(graph, simplify_passes(), {.check = true});
  run_passes(graph, fusion_passes(), {.check = true});
  EXPECT_EQ(op_names(inside(graph, "then_branch")), (Strings{"conv"}));
}

TEST(SimplifySubgraphs, ALargeConstantWithOtherReadersMovesInToRunOnly) {
  const Tensor large = uniform({32, 3, 3, 3}, 1);
  ASSERT_GT(large.bytes().size(), 1024u);
  Graph big;
  const ValueId c = big.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId w = big.add_constant("w", large);
  const auto pass_on = [&] {
    return branch(large.dims(), [](Graph& g, ValueId in) {
      return std::vector<ValueId>{op(g, "a", "abs", {op(g, "n", "neg", {in})})};
    });
  };
  big.set_outputs({op(big, "y", "if", {c, w}, if_attrs(pass_on(), pass_on()))});
  EXPECT_EQ(captures(run_pass(big, "simplify_subgraphs").graph), 1u);
  const Ran to_run = run_pass(big, "join_in_subgraphs");
  EXPECT_EQ(captures(to_run.graph), 0u);
  EXPECT_EQ(op_names(inside(to_run.graph, "then_branch")), (Strings{"abs"}));
  EXPECT_EQ(op_names(inside(to_run.graph, "else_branch")), (Strings{"abs"}));
}

TEST(SimplifySubgraphs, ABranchThatIsImpossibleIsLeftAlone) {
  const GraphPtr impossible = branch({5}, [](Graph& g, ValueId x) {
    const ValueId target = g.add_constant("t", ints({3, 4}));
    return std::vector<ValueId>{op(g, "r", "reshape", {op(g, "i", "identity", {x}), target})};
  });
  const GraphPtr possible =
      branch({5}, [](Graph& g, ValueId x) { return std::vector<ValueId>{op(g, "r", "neg", {x})}; });
  Graph graph;
  const ValueId c = graph.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId outer = float_input(graph, {5});
  graph.set_outputs({op(graph, "y", "if", {c, outer}, if_attrs(impossible, possible))});
  PipelineReport report = run_passes(graph, simplify_passes());
  const bool told = std::any_of(report.passes.begin(), report.passes.end(), [](const auto& pass) {
    return std::any_of(pass.second.notes.begin(), pass.second.notes.end(), [](const PassNote& note) {
      return !note.applied && note.message.find("then_branch stays as it is") != std::string::npos;
    });
  });
  EXPECT_TRUE(told);
  EXPECT_EQ(op_names(inside(graph, "then_branch")).size(), 2u);
}

}  // namespace
}  // namespace amct::testing

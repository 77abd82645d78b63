#include <gtest/gtest.h>

#include <optional>

#include "ops/control_flow.h"
#include "passes/pass_testing.h"
#include "support/subgraphs.h"

namespace amct::testing {
namespace {

const Dims kDims = {2, 3};

GraphPtr unary(std::string_view name) {
  return branch(kDims, [&](Graph& g, ValueId x) { return std::vector<ValueId>{op(g, name, name, {x})}; });
}

// y = exp(if(condition, x)), or the if's result itself.
Graph around(std::optional<bool> condition, const GraphPtr& yes, const GraphPtr& no, bool as_output = false) {
  Graph graph;
  const ValueId x = float_input(graph, kDims);
  const ValueId c = condition ? graph.add_constant("c", bool_tensor(*condition))
                              : graph.add_input("c", {DType::kBool, Shape::of({})});
  const ValueId chosen = op(graph, "chosen", "if", {c, x}, if_attrs(yes, no));
  graph.set_outputs({as_output ? chosen : op(graph, "y", "exp", {chosen})});
  return graph;
}

TEST(InlineIf, TakesTheThenBranch) {
  const Ran ran = run_pass(around(true, unary("neg"), unary("abs")), "inline_if");
  EXPECT_EQ(op_names(ran.graph), (Strings{"neg", "exp"}));
}

TEST(InlineIf, TakesTheElseBranch) {
  const Ran ran = run_pass(around(false, unary("neg"), unary("abs")), "inline_if");
  EXPECT_EQ(op_names(ran.graph), (Strings{"abs", "exp"}));
}

TEST(InlineIf, NotWhereTheConditionIsComputed) {
  EXPECT_EQ(run_pass(around(std::nullopt, unary("neg"), unary("abs")), "inline_if").changes, 0);
}

TEST(InlineIf, AGraphOutputKeepsItsName) {
  const Ran ran = run_pass(around(true, unary("neg"), unary("abs"), true), "inline_if");
  EXPECT_EQ(op_names(ran.graph), (Strings{"neg"}));
  EXPECT_EQ(ran.graph.value(ran.graph.outputs()[0]).name, "chosen");
}

TEST(InlineIf, AResultThatIsACaptureOrAConstantGetsAnIdentityWhereItIsAGraphOutput) {
  const GraphPtr capture = branch(kDims, [](Graph&, ValueId x) { return std::vector<ValueId>{x}; });
  const GraphPtr constant = branch(kDims, [](Graph& g, ValueId) {
    return std::vector<ValueId>{g.add_constant("k", uniform({2, 3}, 1))};
  });
  for (const bool taken : {true, false}) {
    const Ran ran = run_pass(around(taken, capture, constant, true), "inline_if");
    EXPECT_EQ(op_names(ran.graph), (Strings{"identity"}));
    const Ran inside = run_pass(around(taken, capture, constant), "inline_if");
    EXPECT_EQ(op_names(inside.graph), (Strings{"exp"}));
  }
}

TEST(InlineIf, NamesThatAreTakenGiveWay) {
  const GraphPtr clash = branch(kDims, [](Graph& g, ValueId x) {
    const ValueId y = op(g, "y", "neg", {x});
    return std::vector<ValueId>{op(g, "chosen", "abs", {y})};
  });
  const Ran ran = run_pass(around(true, clash, unary("abs")), "inline_if");
  EXPECT_EQ(op_names(ran.graph), (Strings{"neg", "abs", "exp"}));
}

TEST(InlineIf, NestedOnesGoOneAfterTheOther) {
  const GraphPtr outer = branch(kDims, [](Graph& g, ValueId x) {
    const ValueId no = g.add_constant("no", bool_tensor(false));
    return std::vector<ValueId>{op(g, "inner", "if", {no, x}, if_attrs(unary("neg"), unary("abs")))};
  });
  const Ran ran = run_pass(around(true, outer, unary("neg")), "inline_if");
  EXPECT_EQ(op_names(ran.graph), (Strings{"abs", "exp"}));
}

}  // namespace
}  // namespace amct::testing

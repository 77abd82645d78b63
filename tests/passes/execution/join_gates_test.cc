#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "join_gates";

ValueId scalar(Graph& graph, float value) { return graph.add_constant("s", Tensor::of<float>({}, {value})); }

// The operator of the node that computes the output.
std::string last_op(const Graph& graph) { return graph.producer(graph.outputs()[0])->op; }

TEST(JoinGates, SigmoidInEitherOrder) {
  for (const bool gate_first : {false, true}) {
    Graph graph;
    const ValueId x = float_input(graph, {2, 5, 3});
    const ValueId gate = op(graph, "gate", "sigmoid", {x});
    graph.set_outputs({op(graph, "y", "mul", gate_first ? std::vector{gate, x} : std::vector{x, gate})});
    const Ran ran = run_pass(graph, kPass);
    EXPECT_EQ(last_op(ran.graph), "swish");
    EXPECT_EQ(ran.graph.outputs(), graph.outputs()) << "values keep their ids";
    EXPECT_EQ(ran.graph.producer(ran.graph.outputs()[0])->name, "y");
  }
}

TEST(JoinGates, FactorInsideTheSigmoid) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId scaled = op(graph, "scaled", "mul", {scalar(graph, 1.702f), x});
  graph.set_outputs({op(graph, "y", "mul", {x, op(graph, "gate", "sigmoid", {scaled})})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(last_op(ran.graph), "swish");
  EXPECT_FLOAT_EQ(static_cast<float>(attr_float(*ran.graph.producer(ran.graph.outputs()[0]), "alpha")), 1.702f);
}

TEST(JoinGates, HardSigmoidOfASixthAndTanhOfSoftplus) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId hard = op(graph, "hard", "hard_sigmoid", {x}, {{"alpha", 0.1666667}, {"beta", 0.5}});
  const ValueId tanh = op(graph, "tanh", "tanh", {op(graph, "softplus", "softplus", {x})});
  graph.set_outputs({op(graph, "a", "mul", {x, hard}), op(graph, "b", "mul", {tanh, x})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.graph.producer(ran.graph.outputs()[0])->op, "hard_swish");
  EXPECT_EQ(ran.graph.producer(ran.graph.outputs()[1])->op, "mish");
}

TEST(JoinGates, AGateThatIsReadElsewhereStaysAndIsComputed) {
  Graph graph;
  const ValueId x = float_input(graph, {3, 7});
  const ValueId gate = op(graph, "gate", "sigmoid", {x});
  graph.set_outputs({op(graph, "y", "mul", {x, gate}), gate});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(last_op(ran.graph), "swish");
  EXPECT_EQ(ran.graph.producer(ran.graph.outputs()[1])->op, "sigmoid");
}

TEST(JoinGates, LeavesGatesOfOtherValuesAlone) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 5, 1});
  const ValueId z = float_input(graph, {2, 5, 3}, "z");
  const ValueId hard = op(graph, "hard", "hard_sigmoid", {x}, {{"alpha", 0.2}, {"beta", 0.5}});
  const ValueId shifted = op(graph, "shifted", "add", {x, scalar(graph, 1)});
  graph.set_outputs({op(graph, "a", "mul", {z, op(graph, "gate", "sigmoid", {x})}), op(graph, "b", "mul", {x, hard}),
                     op(graph, "c", "mul", {x, op(graph, "gate2", "sigmoid", {shifted})})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

}  // namespace
}  // namespace amct::testing

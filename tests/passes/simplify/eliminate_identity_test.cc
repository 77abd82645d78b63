#include <gtest/gtest.h>

#include <functional>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

// y = neg(build(neg(x))): what is left between the two shows whether the pass fired.
Graph between(const std::function<ValueId(Graph&, ValueId)>& build, TensorType type) {
  Graph graph;
  const ValueId x = graph.add_input("x", std::move(type));
  const ValueId middle = build(graph, op(graph, "before", "neg", {x}));
  graph.set_outputs({op(graph, "y", "neg", {middle})});
  return graph;
}

Graph between(const std::function<ValueId(Graph&, ValueId)>& build, const Dims& dims = {2, 3, 5}) {
  return between(build, {DType::kFloat32, Shape::of(dims)});
}

void expect_removed(const Graph& graph) {
  const Ran ran = run_pass(graph, "eliminate_identity");
  EXPECT_EQ(op_names(ran.graph), (Strings{"neg", "neg"}));
}

void expect_kept(const Graph& graph) { EXPECT_EQ(run_pass(graph, "eliminate_identity").changes, 0); }

ValueId with_constant(Graph& g, ValueId x, std::string_view op_name, Tensor constant, bool left = false) {
  const ValueId c = g.add_constant("c", std::move(constant));
  return op(g, "node", op_name, left ? std::vector<ValueId>{c, x} : std::vector<ValueId>{x, c});
}

TEST(EliminateIdentity, RemovesIdentity) {
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "identity", {x}); }));
}

TEST(EliminateIdentity, RemovesDropout) {
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "dropout", {x}); }));
}

TEST(EliminateIdentity, RemovesChainsAtOnce) {
  expect_removed(between([](Graph& g, ValueId x) {
    for (const char* name : {"a", "b", "c"}) x = op(g, name, "identity", {x});
    return x;
  }));
}

TEST(EliminateIdentity, RemovesCastToTheSameType) {
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "cast", {x}, {{"to", int64_t{1}}}); }));
}

TEST(EliminateIdentity, RemovesReshapeToTheSameShape) {
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "reshape", {x, g.add_constant("c", ints({2, -1, 5}))});
  }));
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "flatten", {x}); }, {3, 5}));
}

TEST(EliminateIdentity, RemovesTransposeInOrder) {
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "transpose", {x}, {{"perm", Ints{0, 1, 2}}});
  }));
}

TEST(EliminateIdentity, RemovesWholeSliceExpandTileAndPadByNothing) {
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "slice",
              {x, g.add_constant("s", ints({0, 0})), g.add_constant("e", ints({3, INT64_MAX})),
               g.add_constant("a", ints({1, 2})), g.add_constant("t", ints({1, 1}))});
  }));
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "expand", {x, g.add_constant("c", ints({2, 1, 5}))});
  }));
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "tile", {x, g.add_constant("c", ints({1, 1, 1}))});
  }));
  expect_removed(between([](Graph& g, ValueId x) {
    return op(g, "node", "pad", {x, g.add_constant("c", ints({0, 0, 0, 0, 0, 0}))});
  }));
}

TEST(EliminateIdentity, RemovesConcatAndSumOfOne) {
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "concat", {x}, {{"axis", int64_t{1}}}); }));
  expect_removed(between([](Graph& g, ValueId x) { return op(g, "node", "sum", {x}); }));
}

TEST(EliminateIdentity, RemovesArithmeticThatChangesNoBit) {
  const Tensor ones = Tensor::of<float>({3, 1}, {1, 1, 1});
  for (const bool left : {false, true}) {
    expect_removed(between([&](Graph& g, ValueId x) { return with_constant(g, x, "mul", ones, left); }));
    expect_removed(
        between([&](Graph& g, ValueId x) { return with_constant(g, x, "add", Tensor::scalar(-0.0f), left); }));
  }
  expect_removed(between([&](Graph& g, ValueId x) { return with_constant(g, x, "div", ones); }));
  expect_removed(between([&](Graph& g, ValueId x) { return with_constant(g, x, "sub", Tensor::scalar(0.0f)); }));
  expect_removed(between([&](Graph& g, ValueId x) { return with_constant(g, x, "pow", Tensor::scalar(1.0f)); }));
  expect_removed(between([&](Graph& g, ValueId x) { return with_constant(g, x, "add", Tensor::scalar(int32_t{0})); },
                         {DType::kInt32, Shape::of({2, 3})}));
}

TEST(EliminateIdentity, KeepsFloatPlusZeroForItTurnsMinusZeroIntoZero) {
  expect_kept(between([](Graph& g, ValueId x) { return with_constant(g, x, "add", Tensor::scalar(0.0f)); }));
  expect_kept(between([](Graph& g, ValueId x) { return with_constant(g, x, "sub", Tensor::scalar(-0.0f)); }));
}

TEST(EliminateIdentity, KeepsArithmeticThatWidens) {
  const Tensor ones = Tensor::of<float>({2, 1, 1, 1}, {1, 1});
  expect_kept(between([&](Graph& g, ValueId x) { return with_constant(g, x, "mul", ones); }));
  const Tensor lifted = Tensor::of<float>({1, 1, 1, 1}, {1});
  expect_kept(between([&](Graph& g, ValueId x) { return with_constant(g, x, "mul", lifted); }));
}

TEST(EliminateIdentity, KeepsConstantOnTheWrongSide) {
  expect_kept(between([](Graph& g, ValueId x) { return with_constant(g, x, "sub", Tensor::scalar(0.0f), true); }));
  expect_kept(between([](Graph& g, ValueId x) { return with_constant(g, x, "div", Tensor::scalar(1.0f), true); }));
}

TEST(EliminateIdentity, KeepsOneThatIsNotOneEverywhere) {
  const Tensor almost = Tensor::of<float>({3, 1}, {1, 1, 1.0000001f});
  expect_kept(between([&](Graph& g, ValueId x) { return with_constant(g, x, "mul", almost); }));
}

TEST(EliminateIdentity, KeepsSliceThatReverses) {
  expect_kept(between([](Graph& g, ValueId x) {
    return op(g, "node", "slice",
              {x, g.add_constant("s", ints({-1})), g.add_constant("e", ints({INT64_MIN})),
               g.add_constant("a", ints({1})), g.add_constant("t", ints({-1}))});
  }));
}

TEST(EliminateIdentity, KeepsTransposeReshapeAndCastThatChange) {
  expect_kept(between([](Graph& g, ValueId x) { return op(g, "node", "transpose", {x}, {{"perm", Ints{0, 2, 1}}}); }));
  expect_kept(between([](Graph& g, ValueId x) { return op(g, "node", "transpose", {x}); }));
  expect_kept(between([](Graph& g, ValueId x) { return op(g, "node", "flatten", {x}); }));
  expect_kept(between([](Graph& g, ValueId x) { return op(g, "node", "cast", {x}, {{"to", int64_t{11}}}); }));
}

TEST(EliminateIdentity, KeepsReshapeOfOpenShapesThatOnlyLookEqual) {
  const TensorType open{DType::kFloat32, Shape({Dim(), Dim()})};
  expect_kept(between(
      [](Graph& g, ValueId x) {
        return op(g, "node", "reshape", {x, g.add_constant("c", ints({-1, 2}))});
      },
      open));
}

TEST(EliminateIdentity, KeepsGraphOutputThatWouldBeAnInput) {
  Graph graph;
  const ValueId x = float_input(graph, {3});
  graph.set_outputs({op(graph, "y", "identity", {x})});
  const Ran ran = run_pass(graph, "eliminate_identity");
  EXPECT_EQ(ran.changes, 0);
  EXPECT_TRUE(ran.left_alone("y", "graph output"));
}

TEST(EliminateIdentity, KeepsGraphOutputThatEqualsAnother) {
  Graph graph;
  const ValueId a = op(graph, "a", "neg", {float_input(graph, {3})});
  graph.set_outputs({a, op(graph, "b", "identity", {a})});
  EXPECT_EQ(run_pass(graph, "eliminate_identity").changes, 0);
}

TEST(EliminateIdentity, HandsItsNameOnAsGraphOutput) {
  Graph graph;
  const ValueId a = op(graph, "a", "neg", {float_input(graph, {3})});
  graph.set_outputs({op(graph, "b", "identity", {a})});
  const Ran ran = run_pass(graph, "eliminate_identity");
  EXPECT_EQ(node_names(ran.graph), Strings{"a"});
}

TEST(EliminateIdentity, KeepsOpaqueNodes) {
  Graph graph;
  const ValueId x = float_input(graph, {3});
  graph.add_node("custom", "identity", nullptr, {x}, {"c"});
  graph.set_outputs({op(graph, "y", "neg", {x})});
  EXPECT_EQ(run_pass(graph, "eliminate_identity").changes, 0);
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "join_norms";

struct Options {
  bool centre = true, product_square = false, reciprocal = false, one_over = false, scale = true, bias = true;
  std::vector<int64_t> axes = {-1};
  int64_t keepdims = 1;
  Dims scale_dims = {7};
  bool other_mean = false;
};

Graph network(const Options& o) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3, 5, 7});
  const auto scalar = [&](float value) { return graph.add_constant("s", Tensor::of<float>({}, {value})); };
  const auto mean = [&](std::string_view name, ValueId of, int64_t keepdims) {
    return op(graph, name, "reduce_mean", {of, graph.add_constant("axes", ints(o.axes))}, {{"keepdims", keepdims}});
  };
  ValueId d = x;
  if (o.centre) {
    const ValueId of = o.other_mean ? float_input(graph, {2, 3, 5, 7}, "z") : x;
    d = op(graph, "centred", "sub", {x, mean("mean", of, 1)});
  }
  const ValueId square =
      o.product_square ? op(graph, "square", "mul", {d, d}) : op(graph, "square", "pow", {d, scalar(2)});
  const ValueId variance = mean("variance", square, o.keepdims);
  const ValueId root = op(graph, "root", "sqrt", {op(graph, "sum", "add", {variance, scalar(1e-3f)})});
  ValueId y;
  if (o.reciprocal) {
    y = op(graph, "y", "mul", {d, op(graph, "inverse", "reciprocal", {root})});
  } else if (o.one_over) {
    y = op(graph, "y", "mul", {op(graph, "inverse", "div", {scalar(1), root}), d});
  } else {
    y = op(graph, "y", "div", {d, root});
  }
  if (o.scale) y = op(graph, "scaled", "mul", {graph.add_constant("w", uniform(o.scale_dims, 1, 0.5, 2)), y});
  if (o.bias) y = op(graph, "shifted", "add", {y, graph.add_constant("b", uniform(o.scale_dims, 2))});
  graph.set_outputs({y});
  return graph;
}

// "layer_norm with 3 inputs": what computes the output after the pass.
std::string joined(const Options& options) {
  const Ran ran = run_pass(network(options), kPass);
  const Node& last = *ran.graph.producer(ran.graph.outputs()[0]);
  return last.op + " of " + std::to_string(last.inputs.size());
}

TEST(JoinNorms, LayerNormInEverySpelling) {
  EXPECT_EQ(joined({}), "layer_norm of 3");
  EXPECT_EQ(joined({.product_square = true}), "layer_norm of 3");
  EXPECT_EQ(joined({.reciprocal = true}), "layer_norm of 3");
  EXPECT_EQ(joined({.one_over = true}), "layer_norm of 3");
  EXPECT_EQ(joined({.bias = false}), "layer_norm of 2");
  EXPECT_EQ(joined({.scale = false, .bias = false}), "layer_norm of 2");
  EXPECT_EQ(joined({.axes = {3}}), "layer_norm of 3");
  EXPECT_EQ(joined({.axes = {-1, 2}, .scale_dims = {5, 7}}), "layer_norm of 3");
  EXPECT_EQ(joined({.scale_dims = {1, 1, 7}}), "layer_norm of 3");
}

TEST(JoinNorms, RmsNormHasNoBias) {
  EXPECT_EQ(joined({.centre = false, .bias = false}), "rms_norm of 2");
  EXPECT_EQ(joined({.centre = false, .reciprocal = true, .bias = false}), "rms_norm of 2");
  EXPECT_EQ(joined({.centre = false}), "add of 2");  // behind the norm
}

TEST(JoinNorms, ParametersOfOtherExtentsStayOutside) {
  EXPECT_EQ(joined({.scale_dims = {5, 7}}), "add of 2");
  EXPECT_EQ(joined({.scale_dims = {1}}), "add of 2");
}

TEST(JoinNorms, LeavesOtherArithmeticAlone) {
  EXPECT_EQ(run_pass(network({.axes = {1}}), kPass).changes, 0);
  EXPECT_EQ(run_pass(network({.axes = {1, 3}}), kPass).changes, 0);
  // The mean of something else is subtracted: what remains is an RMS norm of the difference.
  const Ran other = run_pass(network({.scale = false, .bias = false, .other_mean = true}), kPass);
  EXPECT_EQ(other.graph.producer(other.graph.outputs()[0])->op, "rms_norm");
}

TEST(JoinNorms, SaysWhenTheExtentIsNotKnown) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape({Dim(3), Dim::named("C")})});
  const ValueId axes = graph.add_constant("axes", ints({1}));
  const ValueId two = graph.add_constant("two", Tensor::of<float>({}, {2}));
  const ValueId epsilon = graph.add_constant("epsilon", Tensor::of<float>({}, {1e-3f}));
  const ValueId mean = op(graph, "mean", "reduce_mean", {op(graph, "square", "pow", {x, two}), axes});
  const ValueId root = op(graph, "root", "sqrt", {op(graph, "sum", "add", {mean, epsilon})});
  graph.set_outputs({op(graph, "y", "div", {x, root})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("y", "not known"));
}

}  // namespace
}  // namespace amct::testing

#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "join_gelu";

class Builder {
 public:
  Graph graph;
  ValueId x = float_input(graph, {3, 2, 7});

  ValueId scalar(double value) { return graph.add_constant("s", Tensor::of<float>({}, {static_cast<float>(value)})); }
  ValueId mul(ValueId a, ValueId b) { return op(graph, "mul", "mul", {a, b}); }
  ValueId div(ValueId a, double b) { return op(graph, "div", "div", {a, scalar(b)}); }
  ValueId add(ValueId a, ValueId b) { return op(graph, "add", "add", {a, b}); }
  ValueId unary(std::string_view type, ValueId a) { return op(graph, type, type, {a}); }
  ValueId gate() { return add(unary("erf", div(x, 1.41421356)), scalar(1)); }
  ValueId tanh_gate(ValueId cube, double factor = 0.044715) {
    const ValueId inner = add(x, mul(scalar(factor), cube));
    return add(scalar(1), unary("tanh", mul(inner, scalar(0.7978845608))));
  }
  ValueId power(double exponent) { return op(graph, "pow", "pow", {x, scalar(exponent)}); }

  // The operator that the output has after the pass, and its approximation.
  std::string joined(ValueId y) {
    graph.set_outputs({y});
    const Ran ran = run_pass(graph, kPass);
    const Node& last = *ran.graph.producer(ran.graph.outputs()[0]);
    return last.op == "gelu" ? last.attrs.get<std::string>("approximate", "") : last.op;
  }
};

TEST(JoinGelu, ErfInEveryOrderOfTheProducts) {
  Builder a, b, c, d;
  EXPECT_EQ(a.joined(a.mul(a.mul(a.x, a.gate()), a.scalar(0.5))), "none");
  EXPECT_EQ(b.joined(b.mul(b.gate(), b.mul(b.scalar(0.5), b.x))), "none");
  EXPECT_EQ(c.joined(c.mul(c.x, c.mul(c.gate(), c.scalar(0.5)))), "none");
  EXPECT_EQ(d.joined(d.div(d.mul(d.x, d.gate()), 2)), "none");
}

TEST(JoinGelu, FactorOfTheArgumentAsAProductAndRounded) {
  Builder b;
  const ValueId erf = b.unary("erf", b.mul(b.x, b.scalar(0.70710)));
  EXPECT_EQ(b.joined(b.mul(b.mul(b.x, b.add(b.scalar(1), erf)), b.scalar(0.5))), "none");
}

TEST(JoinGelu, TanhWithTheCubeAsPowerOrProduct) {
  Builder a, b;
  EXPECT_EQ(a.joined(a.mul(a.mul(a.scalar(0.5), a.x), a.tanh_gate(a.power(3)))), "tanh");
  EXPECT_EQ(b.joined(b.mul(b.mul(b.scalar(0.5), b.x), b.tanh_gate(b.mul(b.mul(b.x, b.x), b.x)))), "tanh");
}

TEST(JoinGelu, LeavesOtherNumbersAndOtherValuesAlone) {
  Builder half, inner, cube, other, square;
  EXPECT_EQ(half.joined(half.mul(half.x, half.gate())), "mul");
  EXPECT_EQ(inner.joined(inner.mul(inner.mul(inner.x, inner.add(inner.unary("erf", inner.x), inner.scalar(1))),
                                   inner.scalar(0.5))),
            "mul");
  EXPECT_EQ(cube.joined(cube.mul(cube.mul(cube.scalar(0.5), cube.x), cube.tanh_gate(cube.power(3), 0.0467))), "mul");
  const ValueId z = float_input(other.graph, {3, 2, 7}, "z");
  EXPECT_EQ(other.joined(other.mul(other.mul(z, other.gate()), other.scalar(0.5))), "mul");
  EXPECT_EQ(square.joined(square.mul(square.mul(square.scalar(0.5), square.x), square.tanh_gate(square.power(2)))),
            "mul");
}

}  // namespace
}  // namespace amct::testing

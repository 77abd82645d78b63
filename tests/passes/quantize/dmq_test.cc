// Activation balance: AMCT's factors, and graphs that compute the same as before.
#include "passes/quantize/dmq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "exec/session.h"
#include "ops/infer.h"
#include "passes/quantize/plan_layers.h"
#include "support/golden.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"
#include "support/tensors.h"

namespace amct::testing {
namespace {

std::vector<float> row_max(const Golden& golden, const std::string& name, const std::string& array) {
  const Tensor& tensor = golden.array(name, array);
  const auto values = golden.floats(name, array);
  std::vector<float> most(static_cast<size_t>(tensor.dims()[0]), 0.0f);
  for (size_t i = 0; i < values.size(); ++i) {
    float& value = most[i / (values.size() / most.size())];
    value = std::max(value, std::abs(values[i]));
  }
  return most;
}

class GoldenDmqTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenDmqTest, AgreesWithAmct) {
  AMCT_NEEDS_ASSETS();
  const Golden golden(GetParam());
  int cases = 0;
  for (const std::string& name : golden.cases()) {
    SCOPED_TRACE(name);
    const std::string array = golden.has(name, "factor") ? "factor" : "cpp_factor";
    if (!golden.has(name, array)) continue;
    ++cases;
    const std::vector<float> expected = golden.floats(name, array);
    const std::vector<float> factors = balance_factors(row_max(golden, name, "act"), row_max(golden, name, "wts"),
                                                       golden.parameters(name).at("migration_strength"));
    ASSERT_EQ(factors.size(), expected.size());
    for (size_t c = 0; c < factors.size(); ++c) EXPECT_NEAR(factors[c] / expected[c], 1, 1e-5) << c;
  }
  EXPECT_GT(cases, 3);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenDmqTest, ::testing::Values("dmq_a", "dmq_b"));

TEST(DmqTest, OnesWhereNothingCanBeMoved) {
  const std::vector<float> zeros(3, 0.0f), some = {1, 2, 3}, left = {1, 0, 0}, right = {0, 1, 0};
  const std::vector<float> ones(3, 1.0f);
  EXPECT_EQ(balance_factors(zeros, some, 0.5), ones);
  EXPECT_EQ(balance_factors(some, zeros, 0.5), ones);
  EXPECT_EQ(balance_factors(left, right, 0.5), ones);  // no channel has both
}

// x -> conv (grouped) -> relu -> conv -> max pool -> conv; gemm beside it.
struct Network {
  Graph graph;
  Plan plan;
};

Network network(unsigned seed) {
  std::mt19937 random(seed);
  const auto weight = [&](Graph& graph, const char* name, Dims dims) {
    return graph.add_constant(name, drawn(std::move(dims), random, std::normal_distribution<float>()));
  };
  Network result;
  Graph& g = result.graph;
  const ValueId x = g.add_input("x", {DType::kFloat32, Shape::of({2, 6, 7, 5})});
  const ValueId a = op(g, "a", "conv", {x, weight(g, "a.w", {9, 2, 3, 3}), weight(g, "a.b", {9})},
                       {{"group", int64_t{3}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId relu = op(g, "relu", "relu", {a});
  const ValueId b = op(g, "b", "conv", {relu, weight(g, "b.w", {5, 9, 1, 1})});
  const ValueId pool = op(g, "pool", "max_pool", {b}, {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  const ValueId c = op(g, "c", "conv", {pool, weight(g, "c.w", {4, 5, 3, 2})});
  const ValueId d = op(g, "d", "conv", {relu, weight(g, "d.w", {3, 9, 1, 1})});
  g.set_outputs({c, d});
  update_types(g);
  result.plan = plan_layers(g);
  std::uniform_real_distribution<float> factor(0.25f, 4.0f);
  for (LayerPlan& layer : result.plan.layers) {
    for (size_t i = 0; i < weight_channel_max(g, layer).size(); ++i) layer.balance_factors.push_back(factor(random));
  }
  return result;
}

TEST(DmqTest, BalancedGraphsComputeTheSame) {
  for (const unsigned seed : {1u, 2u}) {
    SCOPED_TRACE(seed);
    Network net = network(seed);
    const Tensor x = normal({2, 6, 7, 5}, seed);
    const auto expected = Session(net.graph).run({x});
    EXPECT_EQ(weight_channel_max(net.graph, *net.plan.find("a")).size(), 6u);
    apply_balance(net.graph, net.plan);
    EXPECT_TRUE(close(Session(net.graph).run({x}), expected, 1e-5, 1e-5));
    EXPECT_EQ(net.plan.find("b")->tensor, "b.mul.output0");
    // `a` reads an input, `b` and `d` share theirs; only `c` is fed by a layer of its own, through a pooling.
    EXPECT_EQ(fold_balance(net.graph, net.plan), std::vector<std::string>{"c"});
    EXPECT_TRUE(close(Session(net.graph).run({x}), expected, 1e-5, 1e-5));
    EXPECT_FALSE(net.graph.find_node("c.mul").valid());
    EXPECT_TRUE(net.graph.find_node("b.mul").valid());
  }
}

TEST(DmqTest, RefusesFactorsThatDoNotFit) {
  Network net = network(3);
  net.plan.find("b")->balance_factors.pop_back();
  net.plan.find("c")->balance_factors[1] = 1e9f;
  try {
    apply_balance(net.graph, net.plan);
    FAIL();
  } catch (const ErrorList& list) {
    ASSERT_EQ(list.errors().size(), 2u);
    EXPECT_NE(std::string(list.errors()[0].what()).find("8 balance factors for 9 input channels"), std::string::npos);
    EXPECT_EQ(list.errors()[1].code(), ErrorCode::kNumeric);
  }
}

}  // namespace
}  // namespace amct::testing

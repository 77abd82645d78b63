// What a graph with QuantizeLinear and DequantizeLinear becomes: plan, float graph and integers.
#include "passes/quantize/qdq_to_plan.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "ops/infer.h"
#include "passes/qdq_builder.h"
#include "passes/quantize/apply_ascend.h"

namespace amct::testing {
namespace {

class QdqToPlan : public ::testing::Test, protected QdqBuilder {
 protected:
  ValueId stored(const std::string& name, Tensor integers, std::vector<float> scales) {
    const ValueId q = graph.add_constant(name, std::move(integers));
    const auto count = static_cast<int64_t>(scales.size());
    const ValueId s = graph.add_constant(name + ".s", Tensor::of<float>({count}, scales));
    return op(graph, name + ".dq", "dequantize_linear", {q, s}, {{"axis", int64_t{0}}});
  }

  QdqConversion convert(std::vector<ValueId> outputs) {
    graph.set_outputs(std::move(outputs));
    update_types(graph);
    return qdq_to_plan(graph);
  }
};

TEST_F(QdqToPlan, TakesFactorsOfUnsignedAndSignedIntegers) {
  const std::vector<int8_t> integers{1, -2, 3, 127, -128, 0};
  const ValueId w = stored("w", Tensor::of<int8_t>({3, 2}, integers), {0.3f, 0.007f, 1.9f});
  const ValueId b =
      stored("b", Tensor::of<int32_t>({3}, {16777217, -5, 2147483647}), {0.1f * 0.3f, 0.1f * 0.007f, 0.1f * 1.9f});
  const ValueId y =
      op(graph, "fc", "gemm", {round_trip("p", input({4, 2}), 0.1f, 100), w, b}, {{"transB", int64_t{1}}});
  const QdqConversion conversion = convert({round_trip("out", y, 0.2f, -3, DType::kInt8)});
  ASSERT_EQ(conversion.plan.layers.size(), 1u);
  const LayerPlan& layer = conversion.plan.layers[0];
  EXPECT_TRUE(layer.quantize) << layer.reason;
  EXPECT_EQ(layer.tensor, "x");
  EXPECT_EQ(layer.activation.factor, (ScaleOffset{0.1f, -28}));
  EXPECT_EQ(layer.weight->scales, (std::vector<float>{0.3f, 0.007f, 1.9f}));
  EXPECT_EQ(layer.integer_bias, (std::vector<int32_t>{16777217, -5, 2147483647}));
  EXPECT_EQ(conversion.anti_quantized, 1u);

  const Graph deploy = apply_ascend(graph, conversion.plan);
  const Tensor& weight = *deploy.constant(deploy.find_value("fc.sub_module.weight"));
  EXPECT_EQ(weight.to_int64s(), (std::vector<int64_t>{1, 3, -128, -2, 127, 0}));
  EXPECT_EQ(deploy.constant(deploy.find_value("fc.sub_module.bias"))->to_int64s(),
            (std::vector<int64_t>{16777217, -5, 2147483647}));
  const Node& quant = deploy.node(deploy.find_node("out.q"));
  EXPECT_EQ(quant.op, "ascend_quant");
  EXPECT_EQ(attr_float(quant, "offset"), -3);
  const Node& anti = deploy.node(deploy.find_node("out.dq"));
  EXPECT_EQ(anti.op, "ascend_anti_quant");
  EXPECT_EQ(attr_float(anti, "offset"), 3);
  EXPECT_EQ(static_cast<float>(attr_float(anti, "scale")), 0.2f);
}

TEST_F(QdqToPlan, SharesTheQuantizerOfAPairThatOthersReadToo) {
  const ValueId p = round_trip("p", input({4, 2}), 0.1f, 9, DType::kInt8);
  const ValueId w = stored("w", Tensor::of<int8_t>({2, 3}, {1, -2, 3, 4, 5, 6}), {0.5f});
  const QdqConversion conversion = convert({op(graph, "fc", "gemm", {p, w}), op(graph, "relu", "relu", {p})});
  EXPECT_TRUE(conversion.plan.layers[0].quantize);
  EXPECT_EQ(conversion.anti_quantized, 1u);
  const Graph deploy = apply_ascend(graph, conversion.plan);
  EXPECT_EQ(count_of(deploy, "ascend_quant"), 1);
}

// As many joins between pair and layer as a file likes.
TEST_F(QdqToPlan, FindsThePairBehindManyConcatenations) {
  const ValueId p = round_trip("p", input({1, 1}), 0.1f, 9, DType::kInt8);
  ValueId x = p;
  for (int i = 1; i < 60000; ++i) x = op(graph, "join" + std::to_string(i), "concat", {x, p}, {{"axis", int64_t{1}}});
  const ValueId w = stored("w", Tensor::of<int8_t>({60000, 2}, std::vector<int8_t>(120000, 3)), {0.5f});
  const QdqConversion conversion = convert({op(graph, "fc", "gemm", {x, w})});
  ASSERT_EQ(conversion.plan.layers.size(), 1u);
  EXPECT_TRUE(conversion.plan.layers[0].quantize) << conversion.plan.layers[0].reason;
}

TEST_F(QdqToPlan, NamesBothNodesOfAllPairsThatDoNotMatch) {
  const ValueId a = round_trip("p", input({4, 2}), 0.1f, 9, DType::kInt8, 0.2f);
  const ValueId b = round_trip("r", op(graph, "relu", "relu", {a}), 0.3f, 9, DType::kUInt8, 0.4f);
  try {
    convert({b});
    FAIL() << "it was accepted";
  } catch (const ErrorList& list) {
    ASSERT_EQ(list.errors().size(), 2u);
    for (const char* name : {"p", "r"}) {
      const std::string text = list.errors()[name[0] == 'p' ? 0 : 1].what();
      EXPECT_NE(text.find(fmt::format("'{}.q'", name)), std::string::npos) << text;
      EXPECT_NE(text.find(fmt::format("'{}.dq'", name)), std::string::npos) << text;
    }
  }
}

TEST_F(QdqToPlan, RefusesScalesThatAreNotPositive) {
  for (const float scale : {0.0f, -0.1f, std::numeric_limits<float>::infinity()}) {
    graph = Graph();
    const ValueId y = round_trip("p", input({4, 2}), scale, 0, DType::kInt8);
    EXPECT_THROW(convert({y}), Error) << scale;
  }
}

}  // namespace
}  // namespace amct::testing

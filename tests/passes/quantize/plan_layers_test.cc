#include "passes/quantize/plan_layers.h"

#include <gtest/gtest.h>

#include <limits>

#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/attach_quant_offset.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/qdq_places.h"
#include "recipe/quant_json.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

// x -> conv1 -> relu -> conv2 -> y, and relu -> conv3 -> z; every layer with its own weight.
struct Net {
  Graph graph;
  ValueId x, weight1, relu;

  Net() {
    x = graph.add_input("x", {DType::kFloat32, Shape::of({1, 3, 6, 6})});
    weight1 = graph.add_constant("w1", filled({4, 3, 3, 3}, 0.5f));
    const NodeId conv1 = add_op(graph, "conv1", "conv", {x, weight1, graph.add_constant("b1", filled({4}, 1.0f))});
    const NodeId relu_node = add_op(graph, "relu", "relu", {graph.node(conv1).output()});
    relu = graph.node(relu_node).output();
    const NodeId conv2 = add_op(graph, "conv2", "conv", {relu, graph.add_constant("w2", filled({5, 4, 1, 1}, 0.25f))});
    const NodeId conv3 = add_op(graph, "conv3", "conv", {relu, graph.add_constant("w3", filled({2, 4, 3, 3}, 2.0f))});
    graph.set_outputs({graph.node(conv2).output(), graph.node(conv3).output()});
    update_types(graph);
  }

  Plan filled_plan() const {
    Plan plan = plan_layers(graph);
    for (LayerPlan& layer : plan.layers) {
      layer.activation.factor = ScaleOffset{0.5f, layer.name == "conv1" ? 3 : -128};
      layer.weight->scales.assign(static_cast<size_t>(output_channels(graph, graph.find_node(layer.name))), 0.01f);
    }
    return plan;
  }
};

TEST(PlanLayers, ListsLayersInOrder) {
  const Net net;
  const Plan plan = plan_layers(net.graph);
  ASSERT_EQ(plan.layers.size(), 3);
  EXPECT_EQ(plan.layers[0].name, "conv1");
  EXPECT_EQ(plan.layers[0].tensor, "x");
  EXPECT_TRUE(plan.layers[0].quantize);
  EXPECT_TRUE(plan.layers[0].weight->per_channel);
  EXPECT_TRUE(plan.layers[0].activation.asymmetric);
  EXPECT_EQ(plan.layers[2].tensor, plan.layers[1].tensor);
}

TEST(PlanLayers, SkipsByNameAndSaysSo) {
  const Net net;
  const Plan plan = plan_layers(net.graph, {.skip = {"conv2"}});
  EXPECT_FALSE(plan.find("conv2")->quantize);
  EXPECT_EQ(plan.find("conv2")->reason, "the configuration skips it");
  EXPECT_TRUE(plan.find("conv3")->quantize);
}

TEST(PlanLayers, UnknownSkippedNameSuggestsTheClosest) {
  const Net net;
  try {
    plan_layers(net.graph, {.skip = {"conv_2"}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfig);
    EXPECT_NE(std::string(error.what()).find("did you mean 'conv2'?"), std::string::npos) << error.what();
  }
}

TEST(PlanLayers, NotANumberInAWeightIsNamed) {
  Net net;
  Tensor bad = filled({4, 3, 3, 3}, 0.5f);
  bad.mutable_values<float>()[17] = std::numeric_limits<float>::quiet_NaN();
  net.graph.replace_constant(net.weight1, bad);
  try {
    plan_layers(net.graph);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNumeric);
    EXPECT_NE(std::string(error.what()).find("'w1'"), std::string::npos) << error.what();
  }
}

TEST(PlanLayers, SharedWeightsAndComputedWeightsStayFloat) {
  Net net;
  const NodeId twin = add_op(net.graph, "twin", "conv", {net.x, net.weight1});
  const ValueId computed = net.graph.add_input("w", {DType::kFloat32, Shape::of({4, 3, 1, 1})});
  add_op(net.graph, "computed", "conv", {net.x, computed});
  (void)twin;
  const Plan plan = plan_layers(net.graph);
  EXPECT_EQ(plan.find("conv1")->reason, "its weight is shared with 'twin'");
  EXPECT_EQ(plan.find("twin")->reason, "its weight is shared with 'conv1'");
  EXPECT_FALSE(plan.find("computed")->quantize);
}

TEST(ApplyAscend, LayersOfOneTensorShareTheirQuantizer) {
  const Net net;
  Plan plan = net.filled_plan();
  const Graph shared = apply_ascend(net.graph, plan);
  EXPECT_TRUE(shared.find_node("conv2.quant").valid());
  EXPECT_FALSE(shared.find_node("conv3.quant").valid());
  plan.find("conv3")->activation.factor->scale = 0.75f;
  EXPECT_TRUE(apply_ascend(net.graph, plan).find_node("conv3.quant").valid());
}

TEST(ApplyAscend, MissingFactorsAreAnError) {
  const Net net;
  EXPECT_THROW(apply_ascend(net.graph, plan_layers(net.graph)), Error);
}

TEST(AttachQuantOffset, ReachesEveryLayer) {
  const Net net;
  Graph deploy = apply_ascend(net.graph, net.filled_plan());
  EXPECT_EQ(attach_quant_offset(deploy), 3);
  EXPECT_EQ(attr_int(deploy.node(deploy.find_node("conv1")), "x_offset"), 3);
  EXPECT_EQ(attr_int(deploy.node(deploy.find_node("conv3")), "x_offset"), -128);
}

TEST(FakeQuantizedWeights, AreMultiplesOfTheScale) {
  const Net net;
  Plan plan = net.filled_plan();
  const Graph fake = fake_quantized_weights(net.graph, plan);
  EXPECT_FLOAT_EQ(fake.constant(net.weight1)->values<float>()[0], 0.5f);
  EXPECT_FLOAT_EQ(fake.constant(fake.find_value("w3"))->values<float>()[0], 1.27f);  // saturated
  EXPECT_FLOAT_EQ(net.graph.constant(net.graph.find_value("w3"))->values<float>()[0], 2.0f);
}

TEST(QdqPlaces, ReluIsAbsorbedAndOutputsAreQuantized) {
  const Net net;
  const Plan plan = net.filled_plan();
  const auto needed = tensors_to_calibrate(net.graph, plan);
  EXPECT_EQ(needed, (std::vector<std::string>{"conv2", "conv3"}));  // x and the ReLU's result are inputs of layers
  EXPECT_THROW(apply_qdq(net.graph, plan, qdq_target("ort")), Error);
  Plan complete = plan;
  for (const std::string& tensor : needed) complete.tensors.push_back({tensor, {.factor = ScaleOffset{0.1f, 0}}});
  const Graph qdq = apply_qdq(net.graph, complete, qdq_target("ort"));
  EXPECT_FALSE(qdq.find_node("relu").valid());
  EXPECT_EQ(qdq.info.opsets.at(""), 13);
  const ValueId zero = qdq.find_value("x.zero_point");
  ASSERT_TRUE(zero.valid());
  EXPECT_EQ(qdq.value(zero).data.dtype(), DType::kUInt8);
  EXPECT_EQ(qdq.value(zero).data.to_int64s()[0], 131);
}

TEST(QdqPlaces, ReluStaysWhenTheRangeHoldsNegativeValues) {
  const Net net;
  Plan plan = net.filled_plan();
  for (LayerPlan& layer : plan.layers) layer.activation.factor->offset = 0;
  for (const std::string& tensor : tensors_to_calibrate(net.graph, plan)) {
    plan.tensors.push_back({tensor, {.factor = ScaleOffset{0.1f, 0}}});
  }
  EXPECT_TRUE(apply_qdq(net.graph, plan, qdq_target("ort")).find_node("relu").valid());
}

TEST(QuantJson, MapsLayersToTheirOperators) {
  const Net net;
  const Plan plan = net.filled_plan();
  const std::string text = print_quant_json(apply_ascend(net.graph, plan), plan, {{"conv1", {"bn1"}}});
  for (const char* part : {"\"name\": \"conv1.quant\"", "\"dequant\": \"conv3.dequant\"", "\"bn1\"", "\"offset\": -128",
                           "\"quant\": \"conv2.quant\""}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
}

}  // namespace
}  // namespace amct::testing

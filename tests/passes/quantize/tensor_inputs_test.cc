#include "passes/quantize/tensor_inputs.h"

#include <gtest/gtest.h>

#include <set>

#include "ops/infer.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/qdq_places.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

// x -> conv1 -> relu -> pool -> conv2 -> add(conv2, relu) -> conv3 -> concat(conv3, conv4(x)) -> conv5 -> y;
// beside it shift = relu + constant, and plain = x + z, which no layer feeds.
struct Net {
  Graph graph;

  Net() {
    const ValueId x = float_input(graph, {1, 3, 6, 5}), z = float_input(graph, {1, 3, 6, 5}, "z");
    const ValueId relu = op(graph, "relu", "relu", {conv("conv1", x, 3, 4)});
    const ValueId pool = op(graph, "pool", "max_pool", {relu},
                            {{"kernel_shape", std::vector<int64_t>{3, 3}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
    const ValueId sum = op(graph, "add", "add", {conv("conv2", pool, 4, 4), relu});
    const ValueId both =
        op(graph, "concat", "concat", {conv("conv3", sum, 4, 2), conv("conv4", x, 3, 5)}, {{"axis", int64_t{1}}});
    const ValueId shifted = op(graph, "shift", "add", {relu, graph.add_constant("c", filled({1}, 2.0f))});
    graph.set_outputs({conv("conv5", both, 7, 3), shifted, op(graph, "plain", "add", {x, z})});
    update_types(graph);
  }

  ValueId conv(const std::string& name, ValueId from, int64_t in, int64_t out) {
    return op(graph, name, "conv", {from, graph.add_constant(name + ".w", filled({out, in, 1, 1}, 0.5f))});
  }
  NodeId id(const std::string& name) const { return graph.find_node(name); }
};

std::set<std::string> as_set(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

std::vector<InputUse> uses_of(const Plan& plan) {
  std::vector<InputUse> uses;
  for (const TensorPlan& tensor : plan.tensors) uses.insert(uses.end(), tensor.uses.begin(), tensor.uses.end());
  return uses;
}

TEST(TensorInputs, JointGroupsHoldAllThatMeets) {
  const Net net;
  Plan plan = plan_layers(net.graph);
  plan_joint(net.graph, plan);
  ASSERT_EQ(plan.joint.size(), 2);
  EXPECT_EQ(as_set(plan.joint[0]), (std::set<std::string>{"relu", "pool", "conv2"}));
  EXPECT_EQ(as_set(plan.joint[1]), (std::set<std::string>{"conv3", "conv4", "concat"}));
  EXPECT_EQ(uses_of(plan), (std::vector<InputUse>{{"add", 0}, {"add", 1}, {"concat", 0}, {"concat", 1}}));
}

TEST(TensorInputs, SkippedLayersJoinNothing) {
  const Net net;
  Plan plan = plan_layers(net.graph, {.skip = {"conv1", "conv2", "conv3", "conv4"}});
  plan_joint(net.graph, plan);
  EXPECT_TRUE(plan.joint.empty());
  EXPECT_TRUE(plan.tensors.empty());
  ASSERT_EQ(plan.warnings.size(), 1);
  EXPECT_NE(plan.warnings[0].find("nothing is quantized jointly"), std::string::npos);
}

TEST(TensorInputs, OneSymmetricLayerMakesItsGroupSymmetric) {
  const Net net;
  Plan plan = plan_layers(net.graph);
  plan.find("conv5")->activation.asymmetric = false;
  plan.find("conv5")->activation.search.method = ClipSearch::Method::kMse;
  plan.find("conv2")->activation.search.method = ClipSearch::Method::kMinMax;
  plan_joint(net.graph, plan);
  for (const TensorPlan& tensor : plan.tensors) {
    const bool first = tensor.uses.front().node == "add";
    EXPECT_EQ(tensor.activation.asymmetric, first) << tensor.tensor;
    EXPECT_EQ(tensor.activation.search.method, first ? ClipSearch::Method::kMinMax : ClipSearch::Method::kMse);
  }
  EXPECT_TRUE(plan.find("conv2")->activation.asymmetric);
  EXPECT_TRUE(plan.warnings.empty());  // the group had no other settings to lose
}

TEST(TensorInputs, ReasonsAgainstAnInputAreNamed) {
  const Net net;
  const auto reason = [&](const std::string& node, int64_t port) {
    return reason_against_input(net.graph, net.graph.node(net.id(node)), port);
  };
  EXPECT_EQ(reason("pool", 0), "");
  EXPECT_EQ(reason("add", 1), "");
  EXPECT_EQ(reason("add", 2), "it has no input 2");
  EXPECT_EQ(reason("add", -1), "it has no input -1");
  EXPECT_EQ(reason("shift", 1), "its input 1 is constant");
  EXPECT_EQ(reason("relu", 0), "inputs of relu are not quantized");
  EXPECT_EQ(reason("conv2", 0), "it is a layer, whose input is quantized by its own settings");
}

TEST(TensorInputs, TheFirstUseOfATensorDecides) {
  const Net net;
  Plan plan = plan_layers(net.graph);
  {
    InputPlanner planner(net.graph, plan);
    EXPECT_TRUE(same_settings(planner.add(net.id("pool"), 0, {}).activation, {}));
    EXPECT_TRUE(same_settings(planner.add(net.id("add"), 1, {}).activation, {}));
  }
  InputPlanner planner(net.graph, plan);  // knows what is there already
  planner.add(net.id("add"), 1, {});
  EXPECT_FALSE(same_settings(planner.add(net.id("shift"), 0, {.asymmetric = false}).activation, {.asymmetric = false}));
  ASSERT_EQ(plan.tensors.size(), 1);
  EXPECT_TRUE(plan.tensors[0].activation.asymmetric);
}

struct Quantized : Net {
  Plan plan;
  Quantized() : plan(plan_layers(graph)) {
    plan_joint(graph, plan);
    for (LayerPlan& layer : plan.layers) {
      layer.activation.factor = ScaleOffset{layer.name == "conv5" ? 0.25f : 0.5f, -3};
      layer.weight->scales.assign(static_cast<size_t>(output_channels(graph, graph.find_node(layer.name))), 0.01f);
    }
    for (TensorPlan& tensor : plan.tensors) {
      tensor.activation.factor = ScaleOffset{tensor.uses.front().node == "concat" ? 0.25f : 0.5f, -3};
    }
  }
};

TEST(ApplyAscend, QuantizesAValueOnceForLayersAndAdditions) {
  const Quantized net;
  const Graph deploy = apply_ascend(net.graph, net.plan);
  const Node& anti = *deploy.producer(deploy.node(deploy.find_node("add")).input(1));
  EXPECT_EQ(anti.op, "ascend_anti_quant");
  EXPECT_EQ(anti.name, "add.input1.anti_quant");
  EXPECT_EQ(anti.attrs.get<double>("scale", 0), 0.5);
  EXPECT_EQ(anti.attrs.get<double>("offset", 0), 3);  // it takes off what the quantizer put on
  // x (conv1 and conv4), pool, relu, conv2's result, the sum, both parts of the concatenation, and the concatenation.
  EXPECT_EQ(count_of(deploy, "ascend_quant"), 8);
}

TEST(ApplyAscend, AnInputWithoutAFactorOrANodeIsAnError) {
  Quantized net;
  net.plan.tensors[0].activation.factor.reset();
  net.plan.tensors[1].uses = {{"nowhere", 0}};
  try {
    apply_ascend(net.graph, net.plan);
    FAIL() << "no error";
  } catch (const ErrorList& list) {
    ASSERT_EQ(list.errors().size(), 2);
    EXPECT_NE(std::string(list.errors()[0].what()).find("no factor for tensor"), std::string::npos);
    EXPECT_NE(std::string(list.errors()[1].what()).find("an input 0 that the model does not have"), std::string::npos);
  }
}

TEST(ApplyQdq, ChosenInputsTakeTheirOwnFactors) {
  Quantized net;
  const QdqTarget& target = qdq_target("ort");
  for (const std::string& tensor : tensors_to_calibrate(net.graph, net.plan, {target})) {
    net.plan.tensors.push_back({tensor, {.factor = ScaleOffset{2.0f, 0}}});
  }
  const Graph qdq = apply_qdq(net.graph, net.plan, target);
  const auto scale_at = [&](const std::string& node, size_t port) {
    const Node* dequantize = qdq.producer(qdq.node(qdq.find_node(node)).input(port));
    EXPECT_EQ(dequantize->op, "dequantize_linear");
    return qdq.constant(dequantize->input(1))->values<float>()[0];
  };
  EXPECT_EQ(scale_at("add", 0), 0.5f);
  EXPECT_EQ(scale_at("add", 1), 0.5f);
  EXPECT_EQ(scale_at("concat", 0), 0.25f);
  EXPECT_EQ(scale_at("concat", 1), 0.25f);
  EXPECT_EQ(scale_at("conv5", 0), 0.25f);
}

}  // namespace
}  // namespace amct::testing

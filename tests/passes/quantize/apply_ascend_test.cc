// What apply_ascend rewrites besides layers, on numbers: MaxPool on integers and clips that quantizers make needless.
#include "passes/quantize/apply_ascend.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ops/infer.h"
#include "passes/check.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/attach_quant_offset.h"
#include "passes/quantize/plan_layers.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

struct Net {
  Graph graph;
  ValueId x = float_input(graph, {1, 3, 7, 5});

  ValueId conv(const std::string& name, ValueId from, int64_t in, int64_t out) {
    return op(graph, name, "conv", {from, graph.add_constant(name + ".w", normal({out, in, 1, 1}, 5, 0, 0.5f))});
  }
  ValueId pool(const std::string& name, ValueId from) {
    return op(graph, name, "max_pool", {from},
              {{"kernel_shape", std::vector<int64_t>{3, 2}}, {"pads", std::vector<int64_t>{1, 0, 1, 1}}});
  }
  ValueId clip(const std::string& name, ValueId from, float low, float high) {
    return op(graph, name, "clip",
              {from, graph.add_constant(name + ".low", Tensor::scalar<float>(low)),
               graph.add_constant(name + ".high", Tensor::scalar<float>(high))});
  }
  Plan plan(std::map<std::string, ScaleOffset> factors) {
    update_types(graph);
    Plan plan = plan_layers(graph);
    for (LayerPlan& layer : plan.layers) {
      const auto at = factors.find(layer.name);
      layer.activation.factor = at != factors.end() ? at->second : ScaleOffset{0.03f, -5};
      layer.weight->scales.assign(static_cast<size_t>(output_channels(graph, graph.find_node(layer.name))), 0.01f);
    }
    return plan;
  }
};

std::vector<std::string> notes_of(const PassReport& report) {
  std::vector<std::string> notes;
  for (const PassNote& note : report.notes) notes.push_back(note.node + " " + note.message);
  return notes;
}

std::string input_op(const Graph& graph, const std::string& node) {
  return graph.producer(graph.node(graph.find_node(node)).input(0))->op;
}

// Outputs of the deploy graph and its simulation on random input, which must be equal.
std::vector<Tensor> outputs_of(Graph deploy) {
  const std::vector<Tensor> inputs = random_inputs(deploy, 3);
  const Graph fake = ascend_to_fake_quant(deploy);
  attach_quant_offset(deploy);
  std::vector<Tensor> results = run_plain(deploy, inputs, deploy.outputs());
  const std::vector<Tensor> simulated = run_plain(fake, inputs, fake.outputs());
  for (size_t i = 0; i < results.size(); ++i) EXPECT_EQ(relative_difference(simulated[i], results[i]), 0);
  return results;
}

TEST(DeployRewrites, PoolsBeforeOneQuantizerReadItsIntegers) {
  Net net;
  const ValueId pooled = net.pool("pool2", net.pool("pool1", net.conv("conv1", net.x, 3, 4)));
  net.graph.set_outputs({net.conv("conv2", pooled, 4, 2), net.conv("conv3", pooled, 4, 5)});
  Plan plan = net.plan({});
  PassReport report;
  const Graph deploy = apply_ascend(net.graph, plan, &report);
  EXPECT_EQ(notes_of(report), (std::vector<std::string>{"pool2 reads integers", "pool1 reads integers"}));
  EXPECT_EQ(input_op(deploy, "pool1"), "ascend_anti_quant");
  EXPECT_EQ(input_op(deploy, "pool2"), "ascend_anti_quant");
  // The same without the rewriting: both readers of the pool have different factors, so nothing is moved.
  const std::vector<Tensor> moved = outputs_of(deploy);
  plan.find("conv3")->activation.factor = ScaleOffset{0.06f, 3};
  PassReport none;
  const Graph still = apply_ascend(net.graph, plan, &none);
  EXPECT_TRUE(none.notes.empty());
  EXPECT_TRUE(outputs_of(still)[0].same_bytes(moved[0]));  // exact for conv2
}

TEST(DeployRewrites, PoolsBesideOneQuantizerReadItsIntegers) {
  Net net;
  const ValueId wide = net.conv("conv1", net.x, 3, 4);
  net.graph.set_outputs({net.conv("conv2", wide, 4, 2), net.pool("pool", wide), op(net.graph, "relu", "relu", {wide})});
  PassReport report;
  const Graph deploy = apply_ascend(net.graph, net.plan({}), &report);
  EXPECT_EQ(notes_of(report), std::vector<std::string>{"pool reads integers"});
  EXPECT_EQ(count_of(deploy, "ascend_quant"), 2);  // of x and of conv1's result
  EXPECT_NE(input_op(deploy, "relu"), "ascend_anti_quant");
  outputs_of(deploy);
}

TEST(DeployRewrites, PoolsThatGiveFloatsStay) {
  Net net;
  const ValueId pooled = net.pool("pool", net.conv("conv1", net.x, 3, 4));
  net.graph.set_outputs({net.conv("conv2", pooled, 4, 2), pooled});
  PassReport report;
  apply_ascend(net.graph, net.plan({}), &report);
  EXPECT_TRUE(report.notes.empty());
}

TEST(DeployRewrites, ClipsThatSaturationCoversBecomeReLU) {
  // 127 + 128 steps of 0.02 end at 5.1, below 6; of 0.03 at 7.65; with offset 0 the upper end is 127 steps away.
  for (const auto& [factor, drops] : {std::pair{ScaleOffset{0.02f, -128}, true},
                                      {ScaleOffset{0.03f, -128}, false},
                                      {ScaleOffset{0.03f, 0}, true},
                                      {ScaleOffset{6.0f / 255, -128}, true}}) {
    Net net;
    net.graph.set_outputs({net.conv("conv2", net.clip("clip", net.conv("conv1", net.x, 3, 4), 0, 6), 4, 2)});
    PassReport report;
    const Graph deploy = apply_ascend(net.graph, net.plan({{"conv2", factor}}), &report);
    EXPECT_EQ(notes_of(report), drops ? std::vector<std::string>{"clip became ReLU"} : std::vector<std::string>());
    EXPECT_EQ(deploy.find_node("clip.relu").valid(), drops);
    EXPECT_EQ(deploy.find_value("clip.high").valid(), !drops);
    outputs_of(deploy);
  }
}

TEST(DeployRewrites, ClipsKeepBoundsThatSomethingElseNeeds) {
  Net net;
  const ValueId wide = net.conv("conv1", net.x, 3, 4);
  const ValueId both = net.clip("both", wide, 0, 6), low = net.clip("low", wide, -1, 6);
  net.graph.set_outputs({net.conv("conv2", both, 4, 2), both, net.conv("conv3", low, 4, 3)});
  PassReport report;
  const ScaleOffset narrow{0.01f, -128};
  const Graph deploy = apply_ascend(net.graph, net.plan({{"conv2", narrow}, {"conv3", narrow}}), &report);
  EXPECT_TRUE(report.notes.empty());
  EXPECT_EQ(deploy.node(deploy.find_node("both")).op, "clip");
}

}  // namespace
}  // namespace amct::testing

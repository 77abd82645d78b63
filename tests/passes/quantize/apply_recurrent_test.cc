// LSTM and GRU layers in graphs: scales of rows and gates; the value that stands for the state; the forms of the three
// targets; the deploy form against its simulation.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "exec/session.h"
#include "passes/quantize/apply_ascend.h"
#include "passes/quantize/apply_qdq.h"
#include "passes/quantize/ascend_to_fake_quant.h"
#include "passes/quantize/fake_quantize_weights.h"
#include "passes/quantize/hidden_states.h"
#include "passes/quantize/qdq_places.h"
#include "passes/quantize/recurrent_net.h"
#include "passes/quantize/recurrent_weights.h"
#include "support/errors.h"

namespace amct::testing {
namespace {

using Net = RecurrentNet;

TEST(RecurrentLayers, ScalesFollowRowsOrGates) {
  const Net net(true);
  for (const bool per_row : {true, false}) {
    Plan plan = plan_layers(net.graph);
    plan.layers[0].weight->per_channel = per_row;
    plan.layers[0].hidden->weight.per_channel = per_row;
    fill_weight_scales(net.graph, plan);
    const std::pair<const char*, const WeightPlan*> weights[] = {{"w", &*plan.layers[0].weight},
                                                                 {"r", &plan.layers[0].hidden->weight}};
    for (const auto& [name, weight] : weights) {
      const auto values = net.graph.value(net.graph.find_value(name)).data.values<float>();
      const size_t groups = per_row ? 4 * kHidden : 4, each = values.size() / groups;
      ASSERT_EQ(weight->scales.size(), groups);
      for (size_t g = 0; g < groups; ++g) {
        const auto [low, high] = std::minmax_element(values.begin() + g * each, values.begin() + (g + 1) * each);
        EXPECT_FLOAT_EQ(weight->scales[g], -*low > *high ? -*low / 128 : *high / 127) << name << " " << g;
      }
    }
    const Graph fake = fake_quantized_weights(net.graph, plan);
    for (const char* name : {"w", "r"}) {
      const auto before = net.graph.value(net.graph.find_value(name)).data.values<float>();
      const auto after = fake.value(fake.find_value(name)).data.values<float>();
      double largest = 0;
      for (size_t i = 0; i < before.size(); ++i) largest = std::max<double>(largest, std::abs(before[i] - after[i]));
      EXPECT_GT(largest, 0);
      EXPECT_LT(largest, 0.6 / 128 * 1.01) << name;
    }
  }
  const Tensor& weight = net.graph.value(net.graph.find_value("w")).data;
  EXPECT_THROW(by_row({.scales = {1, 2, 3}}, weight), Error);
  EXPECT_THROW(by_row({}, weight), Error);
  EXPECT_EQ(by_row({.scales = {1, 2}}, weight).scales[2 * kHidden - 1], 1);
  EXPECT_EQ(by_row({.scales = {1, 2}}, weight).scales[2 * kHidden], 2);
}

TEST(RecurrentLayers, StatesBeforeEveryStepAreAValue) {
  for (const bool lstm : {true, false}) {
    const Net net(lstm, 5);
    const Plan plan = plan_layers(net.graph);
    ASSERT_TRUE(has_hidden_states(plan));
    Graph with_states = with_hidden_states(net.graph, plan);
    const ValueId states = with_states.find_value(hidden_states_name("layer"));
    ASSERT_TRUE(states.valid());
    const std::vector<Tensor> feeds = net.feeds(5);
    Session session{std::make_shared<const Graph>(std::move(with_states)), {.keep = {states}}};
    const std::vector<Tensor> outputs = session.run(feeds);
    const auto seen = outputs.back().values<float>(), y = outputs[0].values<float>();
    const auto h = feeds[1].values<float>();
    EXPECT_EQ(outputs.back().dims(), (Dims{5, kBatch, kHidden}));
    EXPECT_TRUE(std::equal(h.begin(), h.end(), seen.begin()));
    EXPECT_TRUE(std::equal(y.begin(), y.end() - kBatch * kHidden, seen.begin() + kBatch * kHidden));
  }
  Plan skipped = plan_layers(Net(true).graph, {.skip = {"layer"}});
  EXPECT_FALSE(has_hidden_states(skipped));
}

TEST(RecurrentLayers, OneStepWithoutAStateGivesTheStateThatItEndsWith) {
  const Net net(true, 1);
  Graph with_states = with_hidden_states(net.graph, plan_layers(net.graph));
  const ValueId states = with_states.find_value(hidden_states_name("layer"));
  Session session{std::make_shared<const Graph>(std::move(with_states)), {.keep = {states}}};
  std::vector<Tensor> feeds = net.feeds(6);
  EXPECT_TRUE(session.run(feeds).back().same_bytes(feeds[1]));
  feeds[1] = Tensor::of<float>({1, kBatch, kHidden}, std::vector<float>(kBatch * kHidden));
  const std::vector<Tensor> outputs = session.run(feeds);
  EXPECT_TRUE(outputs.back().same_bytes(outputs[kYh]));
}

TEST(RecurrentLayers, DeployFormHasPortsFactorsAndBiasInTheirPlaces) {
  for (const bool lstm : {true, false}) {
    SCOPED_TRACE(lstm ? "lstm" : "gru");
    const Net net(lstm);
    const Plan plan = net.filled_plan();
    const Graph deploy = apply_ascend(net.graph, plan);
    const Node& node = deploy.node(deploy.find_node("layer"));
    EXPECT_EQ(node.op, lstm ? "ascend_lstm" : "ascend_gru");
    const std::vector<const char*> names = lstm ? std::vector<const char*>{"x", nullptr, nullptr, "h", "c"}
                                                : std::vector<const char*>{"x", nullptr, nullptr, "h"};
    for (size_t port = 0; port < names.size(); ++port) {
      if (names[port] == nullptr) continue;
      EXPECT_EQ(deploy.value(node.input(port)).name, names[port]);
    }
    ASSERT_EQ(node.inputs.size(), lstm ? 9u : 8u);
    EXPECT_FALSE(node.input(lstm ? 6 : 5).valid());  // sequence_lens
    EXPECT_FALSE(node.input(lstm ? 7 : 6).valid());  // clean_cache
    const LayerPlan& layer = plan.layers[0];
    EXPECT_EQ(attr_float(node, "quant_scale_x"), 1.0f / layer.activation.factor->scale);
    EXPECT_EQ(attr_float(node, "quant_offset_h"), -4);
    const auto words = deploy.constant(node.inputs.back())->values<uint64_t>();
    const auto bias = deploy.constant(node.input(lstm ? 5 : 4))->values<int32_t>();
    const auto floats = net.graph.value(net.graph.find_value("b")).data.values<float>();
    ASSERT_EQ(words.size(), floats.size());
    const size_t rows = words.size() / 2;
    for (size_t i = 0; i < words.size(); ++i) {
      const float factor = i < rows ? layer.activation.factor->scale * layer.weight->scales[i]
                                    : layer.hidden->activation.factor->scale * layer.hidden->weight.scales[i - rows];
      EXPECT_EQ(std::bit_cast<float>(static_cast<uint32_t>(words[i])), factor);
      EXPECT_EQ(bias[i], static_cast<int32_t>(std::nearbyint(floats[i] / factor)));
    }
  }
}

// A state on an integer's edge falls on either side, as the products are rounded differently: one quantum, at times.
void expect_close(const Tensor& deploy, const Tensor& fake, double quantum, const char* what) {
  const auto a = deploy.values<float>(), b = fake.values<float>();
  ASSERT_EQ(a.size(), b.size()) << what;
  size_t far = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], 2 * quantum) << what << " " << i;
    far += std::abs(a[i] - b[i]) > 1e-5 ? 1 : 0;
  }
  EXPECT_LE(far, a.size() / 8) << what;
}

TEST(RecurrentLayers, DeployFormEqualsItsSimulation) {
  for (const bool lstm : {true, false}) {
    for (const int64_t steps : {int64_t{1}, int64_t{9}}) {
      for (const int bits : {8, 16}) {
        SCOPED_TRACE(::testing::Message() << (lstm ? "lstm" : "gru") << " " << steps << " steps, " << bits << " bits");
        const Net net(lstm, steps);
        const Graph deploy = apply_ascend(net.graph, net.filled_plan(bits));
        const Graph fake = ascend_to_fake_quant(deploy);
        EXPECT_EQ(fake.find_node("layer.scan").valid(), steps > 1);
        ASSERT_TRUE(fake.find_node("layer").valid());
        for (const Graph* graph : {&deploy, &fake}) {
          for (size_t i = 0; i < net.graph.outputs().size(); ++i) {
            EXPECT_EQ(graph->value(graph->outputs()[i]).name, net.graph.value(net.graph.outputs()[i]).name);
          }
        }
        Session integers{std::make_shared<const Graph>(deploy)}, simulation{std::make_shared<const Graph>(fake)};
        for (const double size : {0.8, 1.7}) {  // the second saturates
          const std::vector<Tensor> feeds = net.feeds(70 + static_cast<uint64_t>(steps), size);
          const auto a = integers.run(feeds), b = simulation.run(feeds);
          const double quantum = 1.8 / (bits == 8 ? 255 : 65535);
          for (size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], quantum + 1e-5, "output");
        }
      }
    }
  }
}

TEST(RecurrentLayers, LengthsGoThroughTheSimulation) {
  for (const bool lstm : {true, false}) {
    Net net(lstm, 6);
    const Tensor lengths = Tensor::of<int32_t>({kBatch}, {4, 0});
    net.graph.set_input(net.layer, kLengths, net.graph.add_constant("lengths", lengths));
    const Graph deploy = apply_ascend(net.graph, net.filled_plan());
    Session integers{std::make_shared<const Graph>(deploy)};
    Session simulation{std::make_shared<const Graph>(ascend_to_fake_quant(deploy))};
    const std::vector<Tensor> feeds = net.feeds(8);
    const auto a = integers.run(feeds), b = simulation.run(feeds);
    for (size_t i = 0; i < a.size(); ++i) expect_close(a[i], b[i], 1.8 / 255, "output");
    const auto y = b[0].values<float>();
    EXPECT_TRUE(std::all_of(y.begin() + 4 * kBatch * kHidden, y.end(), [](float v) { return v == 0; }));
  }
}

TEST(RecurrentLayers, QdqFormHasIntegerWeightsAndFloatActivations) {
  const Net net(true);
  const Plan plan = net.filled_plan();
  EXPECT_TRUE(qdq_places(net.graph, plan, qdq_target("ort")).empty());
  const Graph qdq = apply_qdq(net.graph, plan, qdq_target("ort"));
  const Node& node = qdq.node(qdq.find_node("layer"));
  EXPECT_EQ(node.op, "lstm");
  EXPECT_EQ(qdq.value(node.input(kX)).name, "x");
  for (const size_t port : {kW, kR}) {
    const Node* dequantize = qdq.producer(node.input(port));
    ASSERT_NE(dequantize, nullptr);
    EXPECT_EQ(dequantize->op, "dequantize_linear");
    EXPECT_EQ(qdq.constant(dequantize->input(0))->dtype(), DType::kInt8);
    EXPECT_EQ(attr_int(*dequantize, "axis"), 1);
  }
  EXPECT_EQ(qdq.value(node.input(kB)).name, "b");
}

TEST(RecurrentLayers, MissingFactorsAndWildBiasesAreErrors) {
  const Net net(true);
  const auto fails = [&](const std::function<void(LayerPlan&)>& change, const char* says) {
    Plan plan = net.filled_plan();
    change(plan.layers[0]);
    const std::string said = error_of([&] { apply_ascend(net.graph, plan); });
    EXPECT_NE(said.find(says), std::string::npos) << said;
    EXPECT_NE(said.find("'layer'"), std::string::npos) << said;
  };
  fails([](LayerPlan& layer) { layer.hidden->activation.factor.reset(); }, "calibrate first");
  fails([](LayerPlan& layer) { layer.hidden->weight.scales.clear(); }, "calibrate first");
  fails([](LayerPlan& layer) { layer.hidden->activation.bits = 16; }, "its input has 8 bits and its state 16");
  fails([](LayerPlan& layer) { layer.hidden->weight.scales.assign(28, 1e-12f); }, "too large for its scale");
}

}  // namespace
}  // namespace amct::testing

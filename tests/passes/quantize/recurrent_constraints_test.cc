// Which LSTM and GRU layers are quantized: every constraint by name, alone and together.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "passes/quantize/recurrent_net.h"
#include "support/errors.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

using Net = RecurrentNet;
using Change = std::function<void(Net&)>;

void expect_reason(bool lstm, const Change& change, const std::string& reason) {
  Net net(lstm);
  change(net);
  EXPECT_EQ(net.reason(), reason);
}

Change with(const char* attr, AttrValue value) {
  return [=](Net& net) { net.node().attrs.set(attr, value); };
}

TEST(RecurrentLayers, EveryConstraintIsNamed) {
  const auto none = std::string();
  for (const bool lstm : {true, false}) {
    SCOPED_TRACE(lstm ? "lstm" : "gru");
    expect_reason(
        lstm, [](Net&) {}, none);
    expect_reason(lstm, with("activation_alpha", std::vector<double>{0.5}), "it has activation_alpha");
    expect_reason(lstm, with("activation_beta", std::vector<double>{0.5}), "it has activation_beta");
    expect_reason(lstm, with("clip", 3.5), "it clips its gates at 3.5");
    expect_reason(lstm, with("direction", std::string("reverse")), "its direction is reverse, not forward");
    const auto absent = [](size_t port) {
      return [port](Net& net) { net.graph.set_input(net.layer, port, kNoValue); };
    };
    expect_reason(lstm, absent(kB), "it has no bias");
    expect_reason(lstm, absent(kInitialH), "it has no initial_h, which must be fed from an input of the model");
    const auto computed = [](size_t port) {
      return [port](Net& net) {
        const ValueId value = net.node().input(port);
        const ValueId input = net.graph.add_input("computed", net.graph.value(value).type);
        net.graph.set_input(net.layer, port, net.identity(input));
      };
    };
    expect_reason(lstm, computed(kW), "its weight is computed, not constant");
    expect_reason(lstm, computed(kR), "its recurrent weight is computed, not constant");
    expect_reason(lstm, computed(kB), "its bias is computed, not constant");
    const auto constant_state = [](Net& net) {
      const Tensor zeros = Tensor::of<float>({1, kBatch, kHidden}, std::vector<float>(kBatch * kHidden));
      net.graph.set_input(net.layer, kInitialH, net.graph.add_constant("zeros", zeros));
    };
    expect_reason(lstm, constant_state, "its initial_h is not fed from an input of the model");
    const auto calculated_state = [](Net& net) {
      const NodeId tanh = add_op(net.graph, "tanh", "tanh", {net.node().input(kInitialH)});
      net.graph.set_input(net.layer, kInitialH, net.graph.node(tanh).output());
    };
    expect_reason(lstm, calculated_state, "its initial_h is not fed from an input of the model");
    expect_reason(lstm, computed(kInitialH), none);
    const auto expanded_state = [](Net& net) {
      const ValueId extents = net.graph.add_constant("extents", Tensor::of<int64_t>({3}, {1, kBatch, kHidden}));
      const NodeId expand = add_op(net.graph, "expand", "expand", {net.node().input(kInitialH), extents});
      net.graph.set_input(net.layer, kInitialH, net.graph.node(expand).output());
    };
    expect_reason(lstm, expanded_state, none);
  }
  expect_reason(true, with("activations", std::vector<std::string>{"Sigmoid", "Tanh", "Relu"}),
                "its activations are not Sigmoid, Tanh, Tanh");
  expect_reason(false, with("activations", std::vector<std::string>{"HardSigmoid", "Tanh"}),
                "its activations are not Sigmoid, Tanh");
  expect_reason(true, with("input_forget", int64_t{1}), "input_forget couples its gates");
  expect_reason(false, with("linear_before_reset", int64_t{0}), "linear_before_reset is 0");
  expect_reason(
      true, [](Net& net) { net.graph.set_input(net.layer, kInitialC, kNoValue); },
      "it has no initial_c, which must be fed from an input of the model");
  const auto peephole = [](Net& net) {
    const Tensor p = Tensor::of<float>({1, 3 * kHidden}, std::vector<float>(3 * kHidden, 0.1f));
    net.graph.set_input(net.layer, kPeephole, net.graph.add_constant("p", p));
  };
  expect_reason(true, peephole, "it has peephole weights");
}

TEST(RecurrentLayers, AttributesAtTheirDefaultsCountAsAbsent) {
  for (const bool lstm : {true, false}) {
    Net net(lstm);
    Attrs& attrs = net.node().attrs;
    attrs.set("direction", std::string("forward"));
    attrs.set("layout", int64_t{0});
    attrs.set("activation_alpha", std::vector<double>{});
    attrs.set("activations",
              lstm ? std::vector<std::string>{"sigmoid", "Tanh", "TANH"} : std::vector<std::string>{"Sigmoid", "tanh"});
    if (lstm) attrs.set("input_forget", int64_t{0});
    EXPECT_EQ(net.reason(), "");
  }
}

TEST(RecurrentLayers, StatesMayBeMovedOnTheirWayFromAnInput) {
  Net net(true);
  Graph& graph = net.graph;
  const auto ints = [&](const char* name, std::vector<int64_t> values) {
    return graph.add_constant(name, testing::ints(values));
  };
  const ValueId state = graph.add_input("state", {DType::kFloat32, Shape::of({2, kBatch, kHidden})});
  const ValueId sliced = op(graph, "slice", "slice", {state, ints("from", {0}), ints("to", {1}), ints("axes", {0})});
  const ValueId flat = op(graph, "squeeze", "squeeze", {sliced, ints("axis", {0})});
  graph.set_input(net.layer, kInitialH, op(graph, "unsqueeze", "unsqueeze", {flat, ints("axis_back", {0})}));
  const ValueId second = graph.add_constant("second", Tensor::scalar<int64_t>(1));
  const ValueId gathered = op(graph, "gather", "gather", {state, second}, {{"axis", int64_t{0}}});
  graph.set_input(net.layer, kInitialC,
                  op(graph, "reshape", "reshape", {gathered, ints("dims", {1, kBatch, kHidden})}));
  EXPECT_EQ(net.reason(), "");
}

TEST(RecurrentLayers, AllViolationsStandTogether) {
  Net net(true);
  net.node().attrs.set("input_forget", int64_t{1});
  net.node().attrs.set("clip", 1.0);
  net.graph.set_input(net.layer, kInitialH, kNoValue);
  net.graph.set_input(net.layer, kInitialC, kNoValue);
  EXPECT_EQ(net.reason(),
            "it clips its gates at 1; input_forget couples its gates; it has no initial_h, which must be fed from an "
            "input of the model; it has no initial_c, which must be fed from an input of the model");
}

TEST(RecurrentLayers, AnAbsentOutputIsNamed) {
  Net net(true);
  const std::vector<ValueId> inputs = net.node().inputs;
  const NodeId other =
      net.graph.add_node("other", "lstm", &op_table().get("lstm"), inputs, {"y2", "y2_h"}, {{"hidden_size", kHidden}});
  net.graph.set_outputs(net.graph.node(other).outputs);
  net.graph.erase_node(net.layer);
  EXPECT_EQ(net.reason(), "its output y_c is absent");
}

TEST(RecurrentLayers, BatchFirstAndOtherTypesStayFloat) {
  Net net(true);
  Graph& graph = net.graph;
  net.node().attrs.set("layout", int64_t{1});
  for (const ValueId id : graph.inputs()) {
    const std::string& name = graph.value(id).name;
    graph.value(id).type.shape = Shape::of(name == "x" ? Dims{kBatch, 6, kInputs} : Dims{kBatch, 1, kHidden});
  }
  EXPECT_EQ(net.reason(), "its layout is 1 (batch first), not 0");
  Net half(false);
  for (const ValueId id : half.graph.values()) half.graph.value(id).type.dtype = DType::kFloat16;
  for (const char* name : {"w", "r", "b"}) {
    const ValueId id = half.graph.find_value(name);
    half.graph.replace_constant(id, half.graph.value(id).data.cast(DType::kFloat16));
  }
  EXPECT_EQ(half.reason(), "its input is float16, not float32");
}

TEST(RecurrentLayers, SharedAndBrokenRecurrentWeightsAreFound) {
  Net net(true);
  const NodeId other = add_op(net.graph, "reader", "abs", {net.node().input(kR)});
  std::vector<ValueId> outputs = net.graph.outputs();
  outputs.push_back(net.graph.node(other).output());
  net.graph.set_outputs(outputs);
  EXPECT_EQ(net.reason(), "its weight is shared with 'reader'");

  Net broken(true);
  const ValueId r = broken.node().input(kR);
  Tensor values = Tensor::copy_of(broken.graph.constant(r)->view());
  values.mutable_values<float>()[3] = NAN;
  broken.graph.replace_constant(r, values);
  EXPECT_ERROR(plan_layers(broken.graph), "recurrent weight 'r' holds NaN");
}

}  // namespace
}  // namespace amct::testing

#include "passes/quantize/program_ends.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/opaque.h"
#include "passes/quantize/plan_layers.h"
#include "support/graphs.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

// A layer on either side of a node: first, `middle` of its result and others, second behind a reshape of that.
struct TwoLayers {
  Graph graph;
  ValueId first, other;

  TwoLayers() {
    const ValueId x = float_input(graph, {3, 5});
    other = float_input(graph, {3, 7}, "other");
    first = op(graph, "first", "matmul", {x, graph.add_constant("w1", uniform({5, 7}, 1))});
  }
  void second(ValueId input) {
    const ValueId shaped =
        op(graph, "shaped", "reshape", {input, graph.add_constant("target", Tensor::of<int64_t>({2}, {-1, 7}))});
    graph.set_outputs({op(graph, "second", "matmul", {shaped, graph.add_constant("w2", uniform({7, 2}, 2))})});
  }
  ValueId opaque(std::vector<ValueId> inputs) {
    const NodeId id =
        graph.add_node("odd", "com.x::Odd", nullptr, std::move(inputs), {"odd"},
                       {{std::string(kOpaqueReason), std::string("operator Odd is not known")}}, {"odd", "Odd"});
    return graph.node(id).output();
  }
};

TEST(ProgramEnds, AreWhereTheDataDecidesShapes) {
  TwoLayers net;
  net.second(op(net.graph, "which", "non_zero", {net.first}));
  const ProgramEnds ends(net.graph);
  EXPECT_EQ(ends.nodes(), std::vector{net.graph.find_node("which")});
  EXPECT_FALSE(ends.before(net.first).valid());
  EXPECT_EQ(ends.before(net.graph.outputs()[0]), net.graph.find_node("which"));
  EXPECT_EQ(ends.reason(net.graph.node(net.graph.find_node("second"))),
            "its input cannot be observed: 'which' (non_zero) has results whose shape depends on the data");
  EXPECT_EQ(ends.reason(net.graph.node(net.graph.find_node("which"))), "");
}

TEST(ProgramEnds, AreAtOperatorsThatAreNotKnown) {
  TwoLayers net;
  net.second(net.opaque({net.other}));
  const ProgramEnds ends(net.graph);
  EXPECT_EQ(ends.reason(net.graph.node(net.graph.find_node("second"))),
            "its input cannot be observed: 'odd' (Odd) is not supported: operator Odd is not known");
}

TEST(ProgramEnds, AreTheFirstOfThose) {
  TwoLayers net;
  const ValueId odd = net.opaque({net.first});
  net.second(op(net.graph, "which", "non_zero", {odd}));
  const ProgramEnds ends(net.graph);
  EXPECT_EQ(ends.nodes(), std::vector{net.graph.find_node("odd")});
  EXPECT_EQ(ends.before(net.graph.outputs()[0]), net.graph.find_node("odd"));
}

TEST(ProgramEnds, AreNowhereInOrdinaryNetworks) {
  TwoLayers net;
  net.second(op(net.graph, "sum", "add", {net.first, net.other}));
  const ProgramEnds ends(net.graph);
  EXPECT_TRUE(ends.nodes().empty());
  EXPECT_FALSE(ends.before(net.graph.outputs()[0]).valid());
}

TEST(ProgramEnds, KeepLayersBehindThemFloat) {
  TwoLayers net;
  net.second(net.opaque({net.first}));
  update_types(net.graph);
  const Plan plan = plan_layers(net.graph);
  ASSERT_EQ(plan.layers.size(), 2u);
  EXPECT_TRUE(plan.layers[0].quantize);
  EXPECT_FALSE(plan.layers[1].quantize);
  EXPECT_EQ(plan.layers[1].reason.find("its input cannot be observed: 'odd' (Odd)"), 0u) << plan.layers[1].reason;
}

}  // namespace
}  // namespace amct::testing

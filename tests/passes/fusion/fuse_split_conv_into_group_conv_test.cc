#include <gtest/gtest.h>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_split_conv_into_group_conv";

struct Parts {
  std::vector<int64_t> order{0, 1, 2};
  std::vector<Dims> weights{{5, 2, 3, 2}, {5, 2, 3, 2}, {5, 2, 3, 2}};
  std::vector<bool> bias{true, true, true};
  int64_t group = 1;
  bool second_use = false;
};

// x with 6 channels in three parts, a convolution each, joined again.
Graph split_convs(const Parts& parts) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 6, 9, 6});
  const NodeId split = graph.add_node("split", "split", &op_table().get("split"), {x}, {"p0", "p1", "p2"},
                                      {{"axis", int64_t{1}}, {"num_outputs", int64_t{3}}});
  std::vector<ValueId> results;
  for (const int64_t i : parts.order) {
    const auto at = static_cast<size_t>(i);
    const std::string name = "conv" + std::to_string(i);
    std::vector<ValueId> inputs{graph.node(split).outputs[at],
                                graph.add_constant(name + ".w", uniform(parts.weights[at], 1 + i))};
    if (parts.bias[at]) inputs.push_back(graph.add_constant(name + ".b", uniform({parts.weights[at][0]}, 7 + i)));
    results.push_back(op(
        graph, name, "conv", inputs,
        {{"strides", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{1, 0, 1, 1}}, {"group", parts.group}}));
  }
  std::vector<ValueId> outputs{op(graph, "join", "concat", results, {{"axis", int64_t{1}}})};
  if (parts.second_use) outputs.push_back(op(graph, "relu", "relu", {results[1]}));
  graph.set_outputs(outputs);
  return graph;
}

TEST(FuseSplitConvIntoGroupConv, JoinsThePartsToOneLayer) {
  for (const bool bias : {true, false}) {
    Parts parts;
    parts.bias = {bias, bias, bias};
    const Ran ran = run_pass(split_convs(parts), kPass);
    EXPECT_EQ(node_names(ran.graph), Strings{"conv0"});
    EXPECT_EQ(attr_int(ran.graph.node(ran.graph.find_node("conv0")), "group"), 3);
    EXPECT_EQ(ran.changes, 2);
  }
}

TEST(FuseSplitConvIntoGroupConv, MultipliesGroups) {
  Parts parts;
  parts.group = 2;
  parts.weights = {{4, 1, 3, 2}, {4, 1, 3, 2}, {4, 1, 3, 2}};
  const Ran ran = run_pass(split_convs(parts), kPass);
  EXPECT_EQ(attr_int(ran.graph.node(ran.graph.find_node("conv0")), "group"), 6);
}

TEST(FuseSplitConvIntoGroupConv, LeavesOtherOrdersAndUsesAlone) {
  Parts swapped;
  swapped.order = {1, 0, 2};
  EXPECT_EQ(run_pass(split_convs(swapped), kPass).changes, 0);
  Parts read;
  read.second_use = true;
  EXPECT_EQ(run_pass(split_convs(read), kPass).changes, 0);
}

TEST(FuseSplitConvIntoGroupConv, SaysWhatDiffers) {
  Parts mixed;
  mixed.bias = {true, false, true};
  EXPECT_TRUE(run_pass(split_convs(mixed), kPass).left_alone("conv0", "some have a bias"));
  Parts uneven;
  uneven.weights[2] = {4, 2, 3, 2};
  EXPECT_TRUE(run_pass(split_convs(uneven), kPass).left_alone("conv0", "different extents"));
}

}  // namespace
}  // namespace amct::testing

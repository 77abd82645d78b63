#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

constexpr const char* kPass = "fuse_pad_into_conv";
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Case {
  Ints pads;
  std::optional<float> value = std::nullopt;
  std::string mode = "constant";
};

ValueId pad(Graph& graph, ValueId x, const Case& c) {
  std::vector<ValueId> inputs{x, graph.add_constant("pads", ints(c.pads))};
  if (c.value) inputs.push_back(graph.add_constant("value", Tensor::scalar(*c.value)));
  return op(graph, "pad", "pad", inputs, {{"mode", c.mode}});
}

Graph padded_conv(const Case& c, Attrs attrs = {}) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3, 6, 7});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 3, 2}, 1));
  graph.set_outputs({op(graph, "layer", "conv", {pad(graph, x, c), w}, std::move(attrs))});
  return graph;
}

// With `before` = "relu" the padded values are never negative.
Graph padded_pool(const Case& c, std::string_view pool, Attrs attrs = {}, std::string_view before = "neg") {
  Graph graph;
  const ValueId x = op(graph, "before", before, {float_input(graph, {2, 3, 6, 7})});
  attrs.set("kernel_shape", Ints{3, 2});
  graph.set_outputs({op(graph, "layer", pool, {pad(graph, x, c)}, std::move(attrs))});
  return graph;
}

TEST(FusePadIntoConv, AddsToThePaddingOfAConvolution) {
  const Case c{{0, 0, 1, 2, 0, 0, 3, 0}};
  EXPECT_EQ(node_names(run_pass(padded_conv(c), kPass).graph), Strings{"layer"});
  const Ran ran = run_pass(padded_conv(c, {{"pads", Ints{1, 0, 0, 5}}, {"strides", Ints{2, 1}}}), kPass);
  EXPECT_EQ(ran.graph.node(ran.graph.find_node("layer")).attrs.require<Ints>("pads"), (Ints{2, 2, 3, 5}));
  EXPECT_EQ(run_pass(padded_conv(c, {{"auto_pad", std::string("VALID")}}), kPass).changes, 1);
  EXPECT_EQ(run_pass(padded_conv({{0, 0, 1, 2, 0, 0, 3, 0}, 0.0f}), kPass).changes, 1);
}

TEST(FusePadIntoConv, UnderstandsNamedAxes) {
  Graph graph;
  const ValueId x = float_input(graph, {2, 3, 6, 7});
  const ValueId padded =
      op(graph, "pad", "pad",
         {x, graph.add_constant("pads", ints({2, 1})), kNoValue, graph.add_constant("axes", ints({-1}))});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 3, 2}, 1));
  graph.set_outputs({op(graph, "layer", "conv", {padded, w})});
  const Ran ran = run_pass(graph, kPass);
  EXPECT_EQ(ran.graph.node(ran.graph.find_node("layer")).attrs.require<Ints>("pads"), (Ints{0, 2, 0, 1}));
}

TEST(FusePadIntoConv, CountsItInAveragePooling) {
  const Case c{{0, 0, 1, 1, 0, 0, 2, 0}};
  EXPECT_EQ(run_pass(padded_pool(c, "average_pool"), kPass).changes, 1);
  const Attrs own{{"pads", Ints{1, 0, 0, 1}}, {"count_include_pad", int64_t{1}}};
  EXPECT_EQ(run_pass(padded_pool(c, "average_pool", own), kPass).changes, 1);
}

TEST(FusePadIntoConv, FoldsIntoMaxPoolingWhatNeverWins) {
  const Ints pads{0, 0, 1, 1, 0, 0, 2, 0};
  EXPECT_EQ(run_pass(padded_pool({pads, -kInfinity}, "max_pool"), kPass).changes, 1);
  EXPECT_EQ(run_pass(padded_pool({pads, std::numeric_limits<float>::lowest()}, "max_pool"), kPass).changes, 1);
  EXPECT_EQ(run_pass(padded_pool({pads}, "max_pool", {}, "relu"), kPass).changes, 1);
}

TEST(FusePadIntoConv, LeavesZerosAloneThatCouldBeAMaximum) {
  EXPECT_TRUE(run_pass(padded_pool({{0, 0, 1, 1, 0, 0, 2, 0}}, "max_pool"), kPass).left_alone("layer", "a maximum"));
}

TEST(FusePadIntoConv, LeavesOtherValuesAndModesAlone) {
  const Ints pads{0, 0, 1, 1, 0, 0, 2, 0};
  EXPECT_TRUE(run_pass(padded_conv({pads, 0.5f}), kPass).left_alone("layer", "not zero"));
  EXPECT_TRUE(run_pass(padded_pool({pads, 0.5f}, "average_pool"), kPass).left_alone("layer", "not zero"));
  for (const char* mode : {"reflect", "edge"}) {
    EXPECT_TRUE(run_pass(padded_conv({pads, std::nullopt, mode}), kPass).left_alone("layer", "not constant padding"));
  }
}

TEST(FusePadIntoConv, LeavesPaddedChannelsAndBatchesAlone) {
  Graph graph;
  const ValueId w = graph.add_constant("w", uniform({5, 4, 3, 2}, 1));
  const ValueId x = pad(graph, float_input(graph, {2, 3, 6, 7}), {{0, 1, 1, 1, 0, 0, 2, 0}});
  graph.set_outputs({op(graph, "layer", "conv", {x, w})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "batch or channels"));
  EXPECT_EQ(run_pass(padded_conv({{1, 0, 0, 0, 0, 0, 0, 0}}), kPass).changes, 0);
}

TEST(FusePadIntoConv, LeavesCroppingAlone) {
  EXPECT_TRUE(run_pass(padded_conv({{0, 0, 1, -1, 0, 0, 2, 0}}), kPass).left_alone("layer", "crops"));
}

TEST(FusePadIntoConv, LeavesAutoPadAlone) {
  const Ran ran = run_pass(padded_conv({{0, 0, 1, 1, 0, 0, 2, 0}}, {{"auto_pad", std::string("SAME_UPPER")}}), kPass);
  EXPECT_TRUE(ran.left_alone("layer", "auto_pad"));
}

TEST(FusePadIntoConv, LeavesPoolsAloneThatRoundUpOrDoNotCountTheirOwnPadding) {
  const Case c{{0, 0, 1, 1, 0, 0, 1, 0}};
  EXPECT_TRUE(run_pass(padded_pool(c, "average_pool", {{"ceil_mode", int64_t{1}}, {"strides", Ints{2, 2}}}), kPass)
                  .left_alone("layer", "rounds"));
  EXPECT_TRUE(run_pass(padded_pool(c, "average_pool", {{"pads", Ints{1, 0, 0, 1}}}), kPass)
                  .left_alone("layer", "does not count"));
}

TEST(FusePadIntoConv, LeavesPaddingAloneThatIsAsWideAsAPoolsKernel) {
  EXPECT_TRUE(run_pass(padded_pool({{0, 0, 3, 0, 0, 0, 0, 0}}, "average_pool"), kPass).left_alone("layer", "as wide"));
}

TEST(FusePadIntoConv, LeavesPaddingAloneThatOthersRead) {
  Graph graph;
  const ValueId padded = pad(graph, float_input(graph, {2, 3, 6, 7}), {{0, 0, 1, 1, 0, 0, 2, 0}});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 3, 2}, 1));
  graph.set_outputs({padded, op(graph, "layer", "conv", {padded, w})});
  EXPECT_TRUE(run_pass(graph, kPass).left_alone("layer", "other uses"));
}

TEST(FusePadIntoConv, LeavesTransposedConvolutionsAlone) {
  Graph graph;
  const ValueId padded = pad(graph, float_input(graph, {1, 3, 4, 5}), {{0, 0, 1, 1, 0, 0, 2, 0}});
  const ValueId w = graph.add_constant("w", uniform({5, 3, 3, 2}, 1));
  graph.set_outputs({op(graph, "layer", "conv_transpose", {padded, w})});
  EXPECT_EQ(run_pass(graph, kPass).changes, 0);
}

TEST(FusePadIntoConv, LeavesLayersAloneThatTheUserNames) {
  EXPECT_EQ(run_pass(padded_conv({{0, 0, 1, 1, 0, 0, 2, 0}}), kPass, {"layer"}).changes, 0);
}

}  // namespace
}  // namespace amct::testing

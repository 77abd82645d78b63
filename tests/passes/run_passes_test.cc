#include <gtest/gtest.h>

#include <cmath>

#include "passes/pass_testing.h"

namespace amct::testing {
namespace {

void run_double_it(RunContext& c) {
  for (int64_t i = 0; i < c.input(0).size(); ++i) c.output(0).as<float>()[i] = 2 * c.input(0).as<float>()[i];
}

// y = 2 x, known to no pass.
const OpRow& double_row() {
  static const OpRow row = {.name = "double_it",
                            .doc = "Doubles.",
                            .inputs = {{"x"}},
                            .outputs = {{"y"}},
                            .infer = infer_same_as_first,
                            .run = run_double_it,
                            .quant = QuantRule::pass_through(),
                            .axes = axes_elementwise,
                            .samples = nullptr};
  return row;
}

// x -> a -> b -> c -> y, four doublings.
Graph chain() {
  Graph graph;
  ValueId value = float_input(graph, {3, 5});
  for (const char* name : {"a", "b", "c", "y"}) {
    value = graph.node(graph.add_node(name, "double_it", &double_row(), {value}, {name})).output();
  }
  graph.set_outputs({value});
  return graph;
}

PassReport do_nothing(Graph&, const PassContext&) { return {}; }

PassReport drop_node(Graph& graph, const PassContext&) {
  PassReport report;
  const NodeId id = graph.find_node("b");
  if (!id.valid()) return report;
  graph.replace_uses(graph.node(id).output(), graph.node(id).input(0));
  graph.erase_node(id);
  report.applied("a", "dropped its reader");
  return report;
}

// Forgets that y is computed by a node.
PassReport break_link(Graph& graph, const PassContext&) {
  PassReport report;
  Value& y = graph.value(graph.outputs()[0]);
  if (y.output_port == 0) report.applied("a", "broke a link");
  y.output_port = 1;
  return report;
}

PassReport never_done(Graph& graph, const PassContext&) {
  PassReport report;
  report.applied(graph.node(graph.nodes()[0]).name, "claimed to do something");
  return report;
}

PassReport complain(Graph&, const PassContext& context) {
  PassReport report;
  report.left_alone("a", context.skip_layers.contains("a") ? "the user says so" : "no reason");
  return report;
}

TEST(RunPasses, StopsAtOnceWhenNothingChanges) {
  Graph graph = chain();
  const PipelineReport report = run_passes(graph, {{"nothing", "Does nothing.", "", Effect::kExact, do_nothing}});
  EXPECT_TRUE(report.passes.empty());
  EXPECT_EQ(report.nodes_before, 4u);
  EXPECT_EQ(report.nodes_after, 4u);
}

TEST(RunPasses, UpdatesTypes) {
  Graph graph = chain();
  run_passes(graph, {});
  EXPECT_EQ(graph.value(graph.outputs()[0]).type.shape, Shape::of({3, 5}));
}

TEST(RunPasses, CheckNamesPassOutputAndNodeWhenNumbersChange) {
  Graph graph = chain();
  try {
    run_passes(graph, {{"drop", "Drops a node.", "", Effect::kRounding, drop_node}}, {.check = true});
    FAIL() << "the check let a wrong pass through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("pass drop"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("'y'"), std::string::npos) << error.what();
    EXPECT_EQ(error.where().node, "a");
  }
}

TEST(RunPasses, CheckNamesThePassThatBreaksTheGraph) {
  Graph graph = chain();
  try {
    run_passes(graph, {{"breaker", "Breaks a link.", "", Effect::kExact, break_link}}, {.check = true});
    FAIL() << "the check let a broken graph through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("pass breaker broke the graph"), std::string::npos) << error.what();
  }
}

TEST(RunPasses, CheckLetsALossyPassChangeNumbers) {
  Graph graph = chain();
  const PipelineReport report =
      run_passes(graph, {{"drop", "Drops a node.", "", Effect::kLossy, drop_node}}, {.check = true});
  EXPECT_EQ(report.nodes_after, 3u);
  EXPECT_EQ(report.unchecked, "");
}

TEST(RunPasses, CheckSaysWhyItCouldNotCompare) {
  Graph graph;
  const ValueId x = float_input(graph, {3});
  graph.set_outputs({graph.node(graph.add_node("custom", "my.domain::Op", nullptr, {x}, {"y"})).output()});
  const PipelineReport report = run_passes(graph, {}, {.check = true});
  EXPECT_NE(report.unchecked.find("cannot be run"), std::string::npos) << report.unchecked;
}

TEST(RunPasses, CheckComparesWhatOpaqueNodesRead) {
  Graph graph = chain();
  const ValueId c = graph.outputs()[0];
  graph.set_outputs({graph.node(graph.add_node("custom", "my.domain::Op", nullptr, {c}, {"z"})).output()});
  EXPECT_THROW(run_passes(graph, {{"drop", "Drops a node.", "", Effect::kExact, drop_node}}, {.check = true}), Error);
}

TEST(RunPasses, EndlessPassIsAnInternalError) {
  Graph graph = chain();
  EXPECT_THROW(run_passes(graph, {{"endless", "Never ends.", "", Effect::kExact, never_done}}), Error);
}

TEST(RunPasses, SkippedPassDoesNotRun) {
  Graph graph = chain();
  run_passes(graph, {{"drop", "Drops a node.", "", Effect::kLossy, drop_node}}, {.skip = {"drop"}});
  EXPECT_EQ(graph.node_count(), 4u);
}

TEST(RunPasses, UnknownPassAndLayerToSkipSuggestTheClosest) {
  Graph graph = chain();
  try {
    run_passes(graph, simplify_passes(), {.skip = {"fold_constant"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfig);
    EXPECT_NE(error.hint().find("fold_constants"), std::string::npos) << error.what();
  }
  try {
    run_passes(graph, simplify_passes(), {.skip_layers = {"aa"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfig);
    EXPECT_NE(std::string(error.what()).find("'aa'"), std::string::npos) << error.what();
  }
}

TEST(RunPasses, LeftAloneNotesOfRepeatedRunsAreNotRepeated) {
  Graph graph = chain();
  const PipelineReport report = run_passes(graph,
                                           {{"drop", "Drops a node.", "", Effect::kLossy, drop_node},
                                            {"complain", "Complains.", "", Effect::kExact, complain}},
                                           {.skip_layers = {"a"}});
  ASSERT_EQ(report.passes.size(), 2u);
  ASSERT_EQ(report.passes[1].second.notes.size(), 1u);
  EXPECT_EQ(report.passes[1].second.notes[0].message, "the user says so");
}

TEST(RelativeDifference, ComparesTypeExtentsAndSpecialValues) {
  const Tensor a = Tensor::of<float>({3}, {0, 1, 4});
  EXPECT_EQ(relative_difference(a, a), 0);
  EXPECT_NEAR(relative_difference(a, Tensor::of<float>({3}, {0, 1, 4.5})), 0.125, 1e-9);
  EXPECT_TRUE(std::isinf(relative_difference(a, Tensor::of<float>({1, 3}, {0, 1, 4}))));
  EXPECT_TRUE(std::isinf(relative_difference(a, Tensor::of<float>({3}, {0, 1, NAN}))));
  EXPECT_TRUE(std::isinf(relative_difference(a, Tensor::of<double>({3}, {0, 1, 4}))));
}

TEST(RandomInputs, NamedDimsAgreeAndOpenDimsDiffer) {
  Graph graph;
  graph.add_input("a", {DType::kFloat32, Shape({Dim::named("N"), Dim(3), Dim()})});
  graph.add_input("b", {DType::kInt64, Shape({Dim::named("N"), Dim::named("T")})});
  const std::vector<Tensor> inputs = random_inputs(graph, 1);
  EXPECT_EQ(inputs[0].dims()[0], inputs[1].dims()[0]);
  EXPECT_NE(inputs[0].dims()[2], inputs[0].dims()[0]);
  EXPECT_NE(inputs[1].dims()[1], inputs[1].dims()[0]);
  EXPECT_FALSE(random_inputs(graph, 2)[0].same_bytes(inputs[0]));
  EXPECT_TRUE(random_inputs(graph, 1)[0].same_bytes(inputs[0]));
}

TEST(PassNames, HaveTheirPromise) {
  EXPECT_EQ(name_of(Effect::kExact), "exact");
  EXPECT_EQ(name_of(Effect::kRounding), "rounding");
  EXPECT_EQ(name_of(Effect::kLossy), "lossy");
}

}  // namespace
}  // namespace amct::testing

#include "report/profile_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "exec/session.h"
#include "ops/op_row.h"

namespace amct {
namespace {

// conv 1x1 (3 -> 5 channels of 7 x 6) with a ReLU, and a transpose behind it.
Graph network() {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kFloat32, Shape::of({2, 3, 7, 6})});
  const ValueId w = graph.add_constant("w", Tensor::of<float>({5, 3, 1, 1}, std::vector<float>(15, 0.5f)));
  const ValueId conv = graph.node(add_op(graph, "c", "conv", {x, w})).output();
  const ValueId relu = graph.node(add_op(graph, "r", "relu", {conv})).output();
  graph.set_outputs({graph.node(add_op(graph, "t", "transpose", {relu})).output()});
  update_types(graph);
  return graph;
}

Profile three_runs(CompileOptions options = {}) {
  Session session(network(), std::move(options));
  const Tensor x = Tensor::of<float>({2, 3, 7, 6}, std::vector<float>(252, 1.0f));
  session.run({x});
  Profile profile;
  for (int run = 0; run < 3; ++run) session.run({x}, {}, &profile);
  return profile;
}

TEST(ProfileReport, CountsWorkAndRunsOfEveryStep) {
  const Profile profile = three_runs();
  EXPECT_EQ(profile.runs(), 3u);
  EXPECT_EQ(profile.events().size(), 3 * profile.step_times().size());
  const nlohmann::ordered_json report = profile_json(profile);
  EXPECT_EQ(report["runs"], 3);
  double percent = 0, milliseconds = 0;
  bool found = false;
  for (const auto& step : report["steps"]) {
    percent += step["percent"].get<double>();
    milliseconds += step["milliseconds"].get<double>();
    if (step["operator"] != "conv") continue;
    found = true;
    EXPECT_EQ(step["nodes"], "c + r");
    EXPECT_EQ(step["macs"], 2 * 5 * 7 * 6 * 3);
    EXPECT_EQ(step["bytes"], 4 * (2 * 3 * 42 + 5 * 3 + 2 * 5 * 42));
    EXPECT_EQ(step["layout"], "channels last");
    EXPECT_EQ(step["output"], "[2, 5, 7, 6]");
  }
  EXPECT_TRUE(found);
  EXPECT_NEAR(percent, 100, 1e-6);
  EXPECT_NEAR(milliseconds, report["milliseconds"].get<double>(), 1e-9);
}

TEST(ProfileReport, TextHasALineForEachStepAndForEachKind) {
  const Profile profile = three_runs({.compiled_kernels = false});
  const std::string text = profile_text(profile);
  size_t lines = 0;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines += line.find("generic") != std::string::npos ? 1 : 0;
  EXPECT_EQ(lines, 6u) << text;  // conv, relu and transpose, in both tables
  EXPECT_NE(text.find("the sum of 3 steps, each the median of 3 runs"), std::string::npos) << text;
}

TEST(ProfileReport, TraceIsInTheTraceEventFormat) {
  const Profile profile = three_runs();
  const auto trace = nlohmann::json::parse(profile_trace(profile));
  ASSERT_EQ(trace["traceEvents"].size(), profile.events().size());
  double end = 0;
  for (const auto& event : trace["traceEvents"]) {
    EXPECT_EQ(event["ph"], "X");
    EXPECT_TRUE(event["pid"].is_number_integer() && event["tid"].is_number_integer());
    EXPECT_FALSE(event["name"].get<std::string>().empty());
    EXPECT_GE(event["ts"].get<double>(), end - 1e-3) << "steps of one worker do not overlap";
    EXPECT_GE(event["dur"].get<double>(), 0);
    end = event["ts"].get<double>() + event["dur"].get<double>();
  }
}

TEST(ProfileReport, NothingRanNothingIsReported) {
  const Profile profile;
  EXPECT_TRUE(profile_json(profile)["steps"].empty());
  EXPECT_TRUE(nlohmann::json::parse(profile_trace(profile))["traceEvents"].empty());
  EXPECT_NE(profile_text(profile).find("the sum of 0 steps"), std::string::npos);
}

}  // namespace
}  // namespace amct

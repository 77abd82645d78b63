#include "recipe/plan_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.h"

namespace amct {
namespace {

Plan sample_plan() {
  Plan plan;
  plan.model = "dir/mödel \"x\".onnx";
  plan.samples = 64;
  plan.isa = "avx512_core";
  plan.calibrate_with_quantized_weights = false;
  LayerPlan conv{.name = "conv/1", .op = "conv", .tensor = "input"};
  conv.activation.factor = ScaleOffset{0.007960784f, -2};
  conv.activation.fixed = true;
  conv.weight = WeightPlan{.bits = 6, .per_channel = true, .scales = {0.1f, 2.0458456e-05f, 1.0f / 3}};
  LayerPlan kept{.name = "conv_2", .op = "conv", .tensor = "t", .quantize = false, .reason = "its weight is computed"};
  kept.weight = WeightPlan{};
  LayerPlan pool{.name = "pool", .op = "average_pool", .tensor = "u"};
  pool.activation.bits = 16;
  pool.activation.asymmetric = false;
  pool.activation.search.method = ClipSearch::Method::kPercentile;
  pool.activation.search.max_percentile = 0.99;
  plan.layers = {conv, kept, pool};
  TensorPlan tensor{.tensor = "sum"};
  tensor.activation.search.method = ClipSearch::Method::kMinMax;
  tensor.activation.factor = ScaleOffset{3e-38f, 127};
  TensorPlan chosen{.tensor = "left \"x\""};
  chosen.uses = {{"add/1", 1}, {"pool", 0}};
  plan.tensors = {tensor, chosen};
  plan.joint = {{"left \"x\"", "right"}, {"u"}};
  plan.warnings = {"only 3 samples\nare there"};
  return plan;
}

std::string faults_of(const std::string& text) {
  try {
    parse_plan(text, "p.json");
    return "none";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kConfig);
    return error.what();
  }
}

TEST(PlanJsonTest, ComesBackUnchanged) {
  const std::string text = format_plan(sample_plan());
  const PlanFile read = parse_plan(text, "p.json");
  EXPECT_EQ(format_plan(read.plan), text);
  EXPECT_EQ(read.plan.model, sample_plan().model);
  EXPECT_EQ(read.plan.layers[0].activation.factor, sample_plan().layers[0].activation.factor);
  EXPECT_EQ(read.plan.layers[0].weight->scales, sample_plan().layers[0].weight->scales);
  EXPECT_EQ(read.plan.layers[2].activation.search, sample_plan().layers[2].activation.search);
  EXPECT_EQ(read.plan.tensors[0].activation.factor, sample_plan().tensors[0].activation.factor);
  EXPECT_EQ(read.plan.tensors[1].uses, sample_plan().tensors[1].uses);
  EXPECT_EQ(read.plan.joint, sample_plan().joint);
  EXPECT_EQ(read.plan.warnings, sample_plan().warnings);
  EXPECT_EQ(format_plan(parse_plan(format_plan(Plan{}), "p.json").plan), format_plan(Plan{}));
}

TEST(PlanJsonTest, ScalesComeBackInEveryBit) {
  std::mt19937 random(4);
  Plan plan;
  LayerPlan layer{.name = "a"};
  layer.weight = WeightPlan{.per_channel = true};
  for (int i = 0; i < 20000; ++i)
    layer.weight->scales.push_back(std::ldexp(1.0f + random() / 4294967296.0f, i % 60 - 50));
  plan.layers = {layer};
  EXPECT_EQ(parse_plan(format_plan(plan), "p.json").plan.layers[0].weight->scales, layer.weight->scales);
}

TEST(PlanJsonTest, MissingFieldsKeepTheirDefaults) {
  const PlanFile read = parse_plan(R"({"layers": [{"name": "a"}, {"name": "b", "quantize": false}]})", "p.json");
  EXPECT_TRUE(read.plan.layers[0].quantize);
  EXPECT_FALSE(read.plan.layers[1].quantize);
  EXPECT_EQ(read.plan.layers[0].activation.bits, 8);
}

TEST(PlanJsonTest, ReportsAllFaultsWithTheirPlaces) {
  const std::string text = R"({
  "version": 1,
  "sampels": 3,
  "isa": 7,
  "layers": [
    {"name": "a", "quantise": true, "activation": {"bits": 5, "scale": 0.5}},
    {"name": "a", "weight": {"bits": 8, "scales": [1, -1, "x"]}, "shifts": [4, 1e30]},
    {"op": "conv", "activation": {"asymmetric": false, "scale": 1, "offset": 3,
      "search": {"method": "best", "max_percentile": 0.2, "search_step": 2}}},
    {"name": "b", "name": "c"}
  ]
})";
  try {
    parse_plan(text, "p.json");
    FAIL();
  } catch (const ErrorList& list) {
    std::string all;
    for (const Error& error : list.errors()) {
      EXPECT_GT(error.where().line, 1);
      EXPECT_GT(error.where().column, 0);
      all += fmt::format("{}: {}; {}\n", error.where().line, error.message(), error.hint());
    }
    for (const char* part :
         {"3: the plan has an unknown field 'sampels'; did you mean 'samples'?", "4: isa of the plan must be a string",
          "6: layer 'a' has an unknown field 'quantise'; did you mean 'quantize'?",
          "6: bits of activation of layer 'a'", "6: activation of layer 'a' needs both scale and offset",
          "7: a second layer 'a'", "7: a scale of", "7: a shift of layer 'a' is 1e+30", "8: layer '' lacks 'name'",
          "must be 0: it is symmetric", "9: method of", "9: max_percentile", "needs 0 < search_step",
          "10: layer 'c' has a second 'name'"}) {
      EXPECT_NE(all.find(part), std::string::npos) << part << "\n" << all;
    }
  }
}

TEST(PlanJsonTest, PlacesFaultsInEveryLine) {
  const std::string text = "{\"samples\": -1,\n\n \"layers\": [{\"name\": 7},\n  {}], \"isa\":\n3}";
  const std::string faults = faults_of(text);
  for (const char* place : {"p.json:1:13", "p.json:3:22", "p.json:4:3", "p.json:5:1"}) {
    EXPECT_NE(faults.find(place), std::string::npos) << place << " is not in " << faults;
  }
  const PlanFile read =
      parse_plan("{\n\"layers\": [\n\n{\"name\": \"a\"}, {\"name\": \"b\"},\n{\"name\": \"c\"}]}", "p");
  EXPECT_EQ(read.layer_lines, (std::vector<int>{4, 4, 5}));
}

TEST(PlanJsonTest, PlacesSyntaxFaults) {
  EXPECT_NE(faults_of("{\n  \"model\": \"a\",\n  \"samples\" 3\n}").find("p.json:3"), std::string::npos)
      << faults_of("{\n  \"model\": \"a\",\n  \"samples\" 3\n}");
  for (const char* text : {"", "[", "[1, 2]", "3", "\"a\"", "{\"a\": \xff}", "{\"layers\": [{]}", "nul"}) {
    EXPECT_NE(faults_of(text), "none") << text;
  }
  EXPECT_NE(faults_of(std::string(200000, '[')), "none");
  EXPECT_NE(faults_of(std::string(1000, '[') + std::string(1000, ']')).find("nested"), std::string::npos);
}

TEST(PlanJsonTest, SurvivesEveryTruncation) {
  const std::string text = format_plan(sample_plan());
  for (size_t size = 0; size + 2 < text.size(); size += 3) EXPECT_NE(faults_of(text.substr(0, size)), "none") << size;
}

TEST(PlanJsonTest, NamesUnknownLayers) {
  PlanFile read = parse_plan(format_plan(sample_plan()), "p.json");
  check_plan_fits(read, sample_plan(), "p.json");
  read.plan.layers[1].name = "conv_3";
  read.plan.tensors[0].tensor = "summ";
  try {
    check_plan_fits(read, sample_plan(), "p.json");
    FAIL();
  } catch (const ErrorList& list) {
    ASSERT_EQ(list.errors().size(), 2u);
    EXPECT_EQ(list.errors()[0].hint(), "did you mean 'conv_2'?");
    EXPECT_GT(list.errors()[1].where().line, list.errors()[0].where().line);
    EXPECT_EQ(list.errors()[1].hint(), "did you mean 'sum'?");
  }
}

}  // namespace
}  // namespace amct

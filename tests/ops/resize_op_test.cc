#include <algorithm>
#include <cmath>

#include "ops/movement_support.h"

namespace amct::testing {
namespace {

std::string text(const char* value) { return value; }

struct Case {
  const char* name;
  Dims dims;  // input k is k^2 mod 11
  Attrs attrs;
  std::vector<float> roi, scales;
  Ints sizes;
  Dims expected_dims;
  std::vector<float> expected;
};

// Numbers from onnx's reference implementation (onnx 1.18, opset 19).
std::vector<Case> cases() {
  return {
      {"linear half_pixel",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("half_pixel")}},
       {},
       {1, 1.5f},
       {},
       {1, 7},
       {0, 0.5f, 1.5f, 3.5f, 6.5f, 8.333333f, 5.666667f}},
      {"cubic half_pixel",
       {1, 5},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("half_pixel")}},
       {},
       {1, 0.7f},
       {},
       {1, 3},
       {0.1090561f, 2.485787f, 9.002095f}},
      {"linear half_pixel_symmetric",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("half_pixel_symmetric")}},
       {},
       {1, 1.5f},
       {},
       {1, 7},
       {0, 0.6666667f, 2, 4, 7.333333f, 7.666667f, 5}},
      {"cubic half_pixel_symmetric",
       {1, 5},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("half_pixel_symmetric")}},
       {},
       {1, 0.7f},
       {},
       {1, 3},
       {0.2653061f, 4, 7.845481f}},
      {"linear pytorch_half_pixel",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("pytorch_half_pixel")}},
       {},
       {1, 1.5f},
       {},
       {1, 7},
       {0, 0.5f, 1.5f, 3.5f, 6.5f, 8.333333f, 5.666667f}},
      {"cubic pytorch_half_pixel",
       {1, 5},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("pytorch_half_pixel")}},
       {},
       {1, 0.7f},
       {},
       {1, 3},
       {0.1090561f, 2.485787f, 9.002095f}},
      {"linear align_corners",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("align_corners")}},
       {},
       {1, 1.5f},
       {},
       {1, 7},
       {0, 0.6153846f, 1.692308f, 3.538461f, 6.307693f, 8.692307f, 6.230769f}},
      {"cubic align_corners",
       {1, 5},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("align_corners")}},
       {},
       {1, 0.7f},
       {},
       {1, 3},
       {0, 2.368f, 8.776f}},
      {"linear asymmetric",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("asymmetric")}},
       {},
       {1, 1.5f},
       {},
       {1, 7},
       {0, 0.6666667f, 2, 4, 7.333333f, 7.666667f, 5}},
      {"cubic asymmetric",
       {1, 5},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("asymmetric")}},
       {},
       {1, 0.7f},
       {},
       {1, 3},
       {0, 1.970846f, 8.749271f}},
      {"nearest round_prefer_floor",
       {2, 5},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("asymmetric")},
        {"nearest_mode", text("round_prefer_floor")}},
       {},
       {},
       {4, 3},
       {4, 3},
       {0, 4, 9, 0, 4, 9, 3, 5, 9, 3, 5, 9}},
      {"nearest round_prefer_ceil",
       {2, 5},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("asymmetric")},
        {"nearest_mode", text("round_prefer_ceil")}},
       {},
       {},
       {4, 3},
       {4, 3},
       {0, 4, 9, 3, 5, 9, 3, 5, 9, 3, 5, 9}},
      {"nearest floor",
       {2, 5},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("asymmetric")},
        {"nearest_mode", text("floor")}},
       {},
       {},
       {4, 3},
       {4, 3},
       {0, 1, 9, 0, 1, 9, 3, 3, 9, 3, 3, 9}},
      {"nearest ceil",
       {2, 5},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("asymmetric")},
        {"nearest_mode", text("ceil")}},
       {},
       {},
       {4, 3},
       {4, 3},
       {0, 4, 5, 3, 5, 4, 3, 5, 4, 3, 5, 4}},
      {"nearest align",
       {1, 5},
       {{"mode", text("nearest")}, {"coordinate_transformation_mode", text("align_corners")}},
       {},
       {},
       {1, 9},
       {1, 9},
       {0, 0, 1, 1, 4, 4, 9, 9, 5}},
      {"to one pixel",
       {1, 5},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("pytorch_half_pixel")}},
       {},
       {},
       {1, 1},
       {1, 1},
       {0}},
      {"crop",
       {3, 4},
       {{"mode", text("linear")},
        {"coordinate_transformation_mode", text("tf_crop_and_resize")},
        {"extrapolation_value", 7.5}},
       {0.4f, 0.6f, 1.2f, 1.7f},
       {},
       {3, 4},
       {3, 4},
       {3.08f, 5.54f, 7.5f, 7.5f, 2.16f, 1.98f, 7.5f, 7.5f, 7.5f, 7.5f, 7.5f, 7.5f}},
      {"nearest crop",
       {3, 4},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("tf_crop_and_resize")},
        {"extrapolation_value", -1.0}},
       {0, 0.2f, 1.2f, 0.9f},
       {},
       {3, 2},
       {3, 2},
       {1, 9, 3, 5, -1, -1}},
      {"antialias linear",
       {2, 7},
       {{"mode", text("linear")}, {"coordinate_transformation_mode", text("half_pixel")}, {"antialias", int64_t{1}}},
       {},
       {},
       {2, 3},
       {2, 3},
       {1.125f, 6.058824f, 3.375f, 6.3125f, 1.941176f, 2.125f}},
      {"antialias cubic",
       {1, 9},
       {{"mode", text("cubic")}, {"coordinate_transformation_mode", text("half_pixel")}, {"antialias", int64_t{1}}},
       {},
       {},
       {1, 4},
       {1, 4},
       {0.8506203f, 6.54382f, 3.359378f, 6.401605f}},
      {"exclude outside",
       {2, 4},
       {{"mode", text("cubic")},
        {"coordinate_transformation_mode", text("half_pixel")},
        {"exclude_outside", int64_t{1}},
        {"cubic_coeff_a", -0.5}},
       {},
       {},
       {3, 6},
       {3, 6},
       {-0.4077216f, 0.04643963f, 1.262427f, 3.394006f, 7.005418f, 9.60509f, 2.532895f, 2.176471f, 2.111111f, 3.111111f,
        5.441176f, 7.230263f, 5.473511f, 4.306501f, 2.959795f, 2.828216f, 3.876935f, 4.855436f}},
      {"aspect larger",
       {1, 3, 4},
       {{"mode", text("nearest")},
        {"coordinate_transformation_mode", text("asymmetric")},
        {"axes", Ints{1, 2}},
        {"keep_aspect_ratio_policy", text("not_larger")},
        {"nearest_mode", text("floor")}},
       {},
       {},
       {7, 6},
       {1, 5, 6},
       {0, 0, 1, 4, 4, 9, 0, 0, 1, 4, 4, 9, 5, 5, 3, 3, 3, 5, 9, 9, 4, 1, 1, 0, 9, 9, 4, 1, 1, 0}},
      {"aspect smaller",
       {1, 3, 2},
       {{"mode", text("linear")},
        {"coordinate_transformation_mode", text("half_pixel")},
        {"axes", Ints{2, 1}},
        {"keep_aspect_ratio_policy", text("not_smaller")}},
       {},
       {},
       {2, 4},
       {1, 4, 3},
       {0, 0.625f, 1, 2.5f, 4.6875f, 6, 4.375f, 5.859375f, 6.75f, 5, 3.75f, 3}},
  };
}

Tensor optional(const std::vector<float>& values) {
  return values.empty() ? Tensor() : floats({static_cast<int64_t>(values.size())}, values);
}

Tensor squares(const Dims& dims) {
  std::vector<float> values;
  for (int64_t k = 0; k < element_count(dims); ++k) values.push_back(static_cast<float>(k * k % 11));
  return floats(dims, values);
}

TEST(Resize, AgreesWithTheReferenceImplementation) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Tensor sizes = c.sizes.empty() ? Tensor() : ints(c.sizes);
    const std::vector<Tensor> inputs{squares(c.dims), optional(c.roi), optional(c.scales), sizes};
    const Tensor out = run_op("resize", inputs, c.attrs);
    ASSERT_EQ(out.dims(), c.expected_dims);
    for (size_t i = 0; i < c.expected.size(); ++i) {
      EXPECT_NEAR(out.values<float>()[i], c.expected[i], 1e-5 * std::max(1.0f, std::abs(c.expected[i]))) << i;
    }
  }
}

TEST(Resize, ChannelsLast) {
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    const Tensor scales = floats({4}, {1, 1, 2.5f, 0.7f});
    expect_follows_layout("resize", {squares({2, 3, 4, 5}), Tensor(), scales}, {{"mode", text(mode)}});
    const Attrs axes{{"mode", text(mode)}, {"axes", Ints{3, 2}}};
    expect_follows_layout("resize", {squares({2, 3, 4, 5}), Tensor(), Tensor(), ints({9, 3})}, axes);
  }
}

TEST(Resize, OtherTypes) {
  const Tensor scales = floats({2}, {1, 2});
  const Tensor bytes = Tensor::of<uint8_t>({1, 3}, {0, 100, 255});
  EXPECT_EQ(values_of<uint8_t>(run_op("resize", {bytes, Tensor(), scales})),
            (std::vector<uint8_t>{0, 0, 100, 100, 255, 255}));
  EXPECT_EQ(values_of<uint8_t>(run_op("resize", {bytes, Tensor(), scales}, {{"mode", text("linear")}})),
            (std::vector<uint8_t>{0, 25, 75, 138, 216, 255}));
  const Tensor halves = floats({1, 2}, {1, 2}).cast(DType::kFloat16);
  EXPECT_EQ(run_op("resize", {halves, Tensor(), scales}, {{"mode", text("linear")}}).to_doubles(),
            (std::vector<double>{1, 1.25, 1.75, 2}));
}

TEST(Resize, EmptyTensorsStandForAbsentInputs) {
  const Tensor out = run_op("resize", {squares({1, 2}), floats({0}, {}), floats({0}, {}), ints({1, 4})});
  EXPECT_EQ(values_of<float>(out), (std::vector<float>{0, 0, 1, 1}));
}

TEST(Resize, SymbolicDims) {
  const Shape images({Dim::named("N"), 3, Dim(), 6});
  EXPECT_EQ(
      infer_shape("resize", {images, Shape::of({0}), Shape::of({4})}, {{}, floats({0}, {}), floats({4}, {1, 1, 2, 2})}),
      Shape({Dim::named("N"), 3, Dim(), 12}));
}

TEST(Resize, Faults) {
  const Tensor in = squares({1, 2});
  const Tensor twice = floats({2}, {1, 2});
  EXPECT_ERROR(run_op("resize", {in}), "neither scales nor sizes");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), twice, ints({1, 4})}), "both given");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), floats({1}, {2})}), "1 scales do not fit 2 axes");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), floats({2}, {1, -2})}), "a scale of -2 is not positive");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), floats({2}, {1, 1e20f})}), "too large");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), Tensor(), ints({1, -4})}), "size of -4");
  EXPECT_ERROR(run_op("resize", {in, Tensor(), twice}, {{"mode", text("lanczos")}}), "mode 'lanczos' is unknown");
  EXPECT_ERROR(run_op("resize", {squares({1, 0}), Tensor(), Tensor(), ints({1, 4})}), "empty axis");
  const Attrs crop{{"coordinate_transformation_mode", text("tf_crop_and_resize")}};
  EXPECT_ERROR(run_op("resize", {in, Tensor(), twice}, crop), "bounds of roi");
}

// A legacy node imported and exported again.
TEST(Resize, EarlyVersionsComeBackAsTheyWere) {
  struct Version {
    const char* type;
    int64_t version;
    std::vector<float> scales;
    const char* rounding;
  };
  for (const Version& v : std::vector<Version>{{"Upsample", 7, {1, 1, 2, 2}, "floor"},
                                               {"Upsample", 9, {1, 1, 2, 3}, "floor"},
                                               {"Resize", 10, {1, 1, 0.5f, 1}, "ceil"},
                                               {"Resize", 10, {1, 1, 0.5f, 2}, "ceil_when_shrinking"}}) {
    SCOPED_TRACE(v.type);
    Graph graph;
    const ValueId in = graph.add_input("x", {DType::kFloat32, Shape::of({1, 2, 4, 4})});
    ForeignNode foreign{.name = "up", .type = v.type, .version = v.version, .inputs = {in}, .outputs = {"y"}};
    if (v.version == 7) {
      foreign.attrs.set("scales", std::vector<double>(v.scales.begin(), v.scales.end()));
    } else {
      foreign.inputs.push_back(graph.add_constant("s", floats({4}, v.scales)));
    }
    const auto match = op_table().match(Framework::kOnnx, "", v.type, v.version);
    ASSERT_NE(match.row, nullptr);
    ImportContext import(graph, foreign, *match.row);
    match.spelling->import(import);
    const Node& node = graph.node(graph.find_node("up"));
    EXPECT_EQ(attr_string(node, "nearest_mode"), v.rounding);
    ExportContext back(graph, node, v.type, "", v.version);
    match.spelling->export_(back);
    EXPECT_EQ(back.emitted().at(0).inputs.size(), v.version == 7 ? 1u : 2u);
    EXPECT_FALSE(back.emitted()[0].attrs.has("nearest_mode"));
    const Spelling* newest = op_table().match(Framework::kOnnx, "", "Resize", 19).spelling;
    ExportContext forward(graph, node, "Resize", "", 19);
    if (attr_string(node, "nearest_mode") == "ceil_when_shrinking") {
      EXPECT_ERROR(newest->export_(forward), "only opset 10");
    } else {
      newest->export_(forward);
      EXPECT_EQ(forward.emitted().at(0).inputs.size(), 3u);
    }
  }
}

}  // namespace
}  // namespace amct::testing

// HFMG on MobileNetV1 0.25 against the record that AMCT wrote for the same 32 images, one a batch.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/preprocess.h"
#include "data/source.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/range_limits.h"
#include "support/assets.h"
#include "support/golden_record.h"
#include "workflow/calibrate.h"
#include "workflow/model.h"

namespace amct::testing {
namespace {

constexpr int64_t kImages = 32;
constexpr double kClose = 0.01;  // of the range, for a search that ends a candidate earlier or later

double high_of(float scale, int offset) { return scale * (127.0 - offset); }
double low_of(float scale, int offset) { return scale * (-128.0 - offset); }

TEST(GoldenHfmgModel, SameFactorsAsAmct) {
  AMCT_NEEDS_ASSETS();
  Graph graph = load_model(assets() / "onnx/mobilenet_v1_025.onnx");
  prepare(graph);
  const auto source =
      open_data(assets() / "datasets/imagenet300", input_specs(graph), {.preprocess = parse_preprocess("imagenet-tf")});
  Plan plan = plan_layers(graph);
  plan.correct_bias = false;
  for (LayerPlan& layer : plan.layers) layer.activation.search.method = ClipSearch::Method::kHfmg;
  calibrate(graph, plan, *source, kImages, 2);
  const auto record = read_golden_record(assets() / "golden/models/mobilenet_v1_025_hfmg_record.txt");
  ASSERT_EQ(plan.layers.size(), record.size());
  int same = 0, limited = 0, close = 0;
  for (size_t i = 0; i < record.size(); ++i) {
    const LayerPlan& layer = plan.layers[i];
    ASSERT_EQ(layer.name, record[i].key);
    const ScaleOffset ours = *layer.activation.factor;
    const double high = high_of(ours.scale, ours.offset), theirs = high_of(record[i].scale_d, record[i].offset_d);
    const double limit = range_limits(graph, graph.find_value(layer.tensor)).high;
    if (ours.offset == record[i].offset_d && std::abs(ours.scale / record[i].scale_d - 1) < 1e-5) {
      ++same;
    } else if (theirs > limit && std::abs(high / limit - 1) < 1e-6) {
      ++limited;  // the grid must not pass the bound of a Clip
    } else {
      const double range = theirs - low_of(record[i].scale_d, record[i].offset_d);
      fmt::print("{}: ends at {:.6g}, AMCT's at {:.6g}, {:.3f} % of the range\n", layer.name, high, theirs,
                 100 * std::abs(high - theirs) / range);
      EXPECT_LE(std::abs(high - theirs), kClose * range) << layer.name;
      ++close;
    }
  }
  fmt::print("{} layers: {} the same, {} limited by a Clip, {} close\n", record.size(), same, limited, close);
  EXPECT_LE(close, 3);
  EXPECT_GE(same, 25);
}

}  // namespace
}  // namespace amct::testing

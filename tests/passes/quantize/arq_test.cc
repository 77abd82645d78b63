// Scales by hand, and groups of weights against a loop over each group: scales, integers and floats, whole and partial
// groups. AMCT's own numbers are those of golden_arq_test.cc.
#include "passes/quantize/arq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include "base/error.h"
#include "passes/quantize/integer_constants.h"
#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

struct Case {
  Dims dims;
  int channel_axis, group, bits;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << "axis_" << c.channel_axis << "_group_" << c.group << "_bits_" << c.bits;
}

// The elements of the group that element `at` belongs to: those that differ from it along the input axis only.
std::vector<float> group_of(const Tensor& weights, const Case& c, int64_t at) {
  const auto axis = static_cast<size_t>(group_axis(c.dims, c.channel_axis));
  int64_t stride = 1;
  for (size_t i = axis + 1; i < c.dims.size(); ++i) stride *= c.dims[i];
  const int64_t position = at / stride % c.dims[axis], first = position / c.group * c.group;
  std::vector<float> values;
  for (int64_t k = first; k < std::min<int64_t>(first + c.group, c.dims[axis]); ++k) {
    values.push_back(weights.values<float>()[static_cast<size_t>(at + (k - position) * stride)]);
  }
  return values;
}

class WeightGroups : public ::testing::TestWithParam<Case> {};

TEST_P(WeightGroups, EqualTheLoop) {
  const Case& c = GetParam();
  const Tensor weights = normal(c.dims, 11, 0, 0.3f);
  WeightPlan plan{.bits = c.bits, .group = c.group};
  plan.scales = arq_group_scales(weights, group_axis(c.dims, c.channel_axis), c.group, c.bits, "layer");
  ASSERT_EQ(element_count(group_scale_dims(c.dims, plan, c.channel_axis)), static_cast<int64_t>(plan.scales.size()));
  const Tensor integers = integer_weights(weights, plan, c.channel_axis);
  const Tensor floats = fake_quantized(weights, plan, c.channel_axis);
  const float levels = std::ldexp(1.0f, c.bits - 1);
  for (int64_t i = 0; i < weights.size(); ++i) {
    const std::vector<float> group = group_of(weights, c, i);
    const float low = std::abs(*std::ranges::min_element(group)), high = std::abs(*std::ranges::max_element(group));
    const float scale = high < low ? low / levels : high / (levels - 1);
    const float q = std::clamp(std::nearbyint(weights.values<float>()[i] / scale), -levels, levels - 1);
    ASSERT_EQ(integers.values<int8_t>()[i], q) << i;
    ASSERT_EQ(floats.values<float>()[i], q * scale) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, WeightGroups,
                         ::testing::Values(Case{{72, 5}, 1, 32, 4}, Case{{5, 72}, 0, 32, 4}, Case{{64, 3}, 1, 64, 8},
                                           Case{{7, 33}, 0, 32, 7}, Case{{3, 70, 4}, 2, 32, 4}, Case{{1, 1}, 1, 32, 6},
                                           Case{{31, 2}, 1, 96, 8}),
                         [](const auto& info) { return "case" + std::to_string(info.index); });

TEST(WeightGroups, DeadGroupHasScaleOne) {
  std::vector<float> values(64, 0.0f);
  values[40] = 0.7f;
  const std::vector<float> scales = arq_group_scales(Tensor::of<float>({64, 1}, values), 0, 32, 8, "layer");
  EXPECT_EQ(scales, (std::vector<float>{1.0f, 0.7f / 127}));
}

TEST(WeightGroups, NotANumberAndOddWidthsAreRefused) {
  std::vector<float> values(64, 0.5f);
  EXPECT_THROW(arq_group_scales(Tensor::of<float>({64, 1}, values), 0, 32, 5, "layer"), Error);
  values[63] = std::nanf("");
  EXPECT_THROW(arq_group_scales(Tensor::of<float>({64, 1}, values), 0, 32, 8, "layer"), Error);
}

TEST(ArqTest, NamesTheLayerOfBadWeights) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const Tensor weights = Tensor::of<float>({2, 2}, {1, 2, bad, 3});
    for (const bool per_channel : {true, false}) {
      try {
        arq_scales(weights, 0, per_channel, 8, "conv_7");
        FAIL();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kNumeric);
        EXPECT_EQ(error.where().node, "conv_7");
      }
    }
  }
}

TEST(ArqTest, RefusesOtherWidths) {
  for (const int bits : {0, 2, 5, 9, 16})
    EXPECT_THROW(arq_scales(Tensor::of<float>({1}, {1}), 0, true, bits, "a"), Error);
}

TEST(ArqTest, ChannelsOfEveryAxis) {
  const Tensor weights = Tensor::of<float>({2, 3, 2}, {1, -2, 3, 4, 5, -6, 7, 8, 9, 10, 11, -1280});
  EXPECT_EQ(arq_scales(weights, 1, true, 8, ""), (std::vector<float>{8.0f / 127, 10.0f / 127, 10}));
  EXPECT_EQ(arq_scales(weights, 0, true, 8, ""), (std::vector<float>{6.0f / 128, 10}));
  EXPECT_EQ(arq_scales(weights, 2, true, 4, ""), (std::vector<float>{11.0f / 7, 160}));
}

}  // namespace
}  // namespace amct::testing

// Groups of weights against a loop over each group: scales, integers and floats, whole and partial groups.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/error.h"
#include "passes/quantize/arq.h"
#include "passes/quantize/integer_constants.h"

namespace amct {
namespace {

struct Case {
  Dims dims;
  int channel_axis, group, bits;
};

Tensor random_weights(const Dims& dims, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.3f);
  std::vector<float> values(static_cast<size_t>(element_count(dims)));
  for (float& value : values) value = normal(random);
  return Tensor::of<float>(dims, values);
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
  const Tensor weights = random_weights(c.dims, 11);
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

}  // namespace
}  // namespace amct

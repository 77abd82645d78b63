#include "exec/channel_sums.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "support/tensor_makers.h"

namespace amct::testing {
namespace {

TEST(ChannelSums, AgreesWithAPlainMeanOnEveryAxis) {
  const Tensor tensor = normal({3, 37, 5, 41}, 1, 0.3f, 2);
  const auto values = tensor.values<float>();
  for (const size_t axis : {1u, 2u, 3u}) {
    ChannelSums sums;
    sums.add(tensor.view(), axis);
    const int64_t channels = tensor.dims()[axis];
    std::vector<double> expected(static_cast<size_t>(channels), 0);
    int64_t inner = 1;
    for (size_t i = axis + 1; i < 4; ++i) inner *= tensor.dims()[i];
    for (size_t i = 0; i < values.size(); ++i) {
      expected[i / static_cast<size_t>(inner) % static_cast<size_t>(channels)] += values[i];
    }
    const std::vector<double> means = sums.means();
    ASSERT_EQ(means.size(), expected.size());
    for (size_t c = 0; c < means.size(); ++c) {
      EXPECT_NEAR(means[c], expected[c] * static_cast<double>(channels) / static_cast<double>(values.size()), 1e-6);
    }
  }
}

TEST(ChannelSums, WidensFloat16) {
  const Tensor half = normal({2, 5, 7, 3}, 4, 0.3f, 2).cast(DType::kFloat16);
  ChannelSums narrow, wide;
  narrow.add(half.view(), 1);
  const Tensor widened = half.cast(DType::kFloat32);
  wide.add(widened.view(), 1);
  EXPECT_EQ(narrow.means().size(), 5u);
  EXPECT_EQ(narrow.means(), wide.means());
}

TEST(ChannelSums, GivesTheSameBitsInAnyOrderAndSplit) {
  std::vector<Tensor> samples;
  for (uint32_t i = 0; i < 20; ++i) samples.push_back(normal({1, 33, 7, 6}, i, 0.3f, 2));
  ChannelSums reference;
  for (const Tensor& sample : samples) reference.add(sample.view(), 1);
  for (uint32_t seed = 0; seed < 5; ++seed) {
    SCOPED_TRACE(seed);
    std::vector<size_t> order(samples.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::mt19937 random(seed);
    std::shuffle(order.begin(), order.end(), random);
    ChannelSums parts[3];
    for (const size_t i : order) parts[random() % 3].add(samples[i].view(), 1);
    ChannelSums merged;
    for (const ChannelSums& part : parts) merged.merge(part);
    EXPECT_EQ(merged.means(), reference.means());
  }
}

TEST(ChannelSums, TakesASampleInPieces) {
  const Tensor sample = normal({1, 11, 13, 37}, 3, 0.3f, 2);
  const auto values = sample.values<float>();
  ChannelSums whole;
  whole.add(sample.view(), 3);
  for (const size_t rows : {1u, 5u, 32u, 40u, 143u}) {
    ChannelSums sums;
    for (size_t row = 0; row < 143; row += rows) {
      sums.add_rows(values.subspan(row * 37, std::min<size_t>(rows, 143 - row) * 37), 37);
    }
    sums.end_sample();
    EXPECT_EQ(sums.means(), whole.means()) << rows;
  }
}

TEST(ChannelSums, HasNoMeansOfValuesThatAreNotFinite) {
  Tensor tensor = normal({1, 4, 3}, 2, 0.3f, 2);
  tensor.mutable_values<float>()[5] = std::numeric_limits<float>::infinity();
  ChannelSums sums;
  sums.add(tensor.view(), 1);
  EXPECT_TRUE(sums.means().empty());
  EXPECT_TRUE(ChannelSums().means().empty());
}

}  // namespace
}  // namespace amct::testing

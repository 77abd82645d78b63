#include "exec/channel_max.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "support/values.h"

namespace amct::testing {
namespace {

TEST(ChannelMaxTest, IsThatOfEachChannelInEitherLayoutAndOrder) {
  std::mt19937 random(3);
  const std::vector<float> values = normal_values(2 * 5 * 7, random);
  const Tensor first_half = Tensor::of<float>({1, 5, 7}, {values.begin(), values.begin() + 35});
  const Tensor second_half = Tensor::of<float>({1, 5, 7}, {values.begin() + 35, values.end()});
  std::vector<float> expected(5, 0.0f);
  for (size_t i = 0; i < values.size(); ++i) {
    expected[i / 7 % 5] = std::max(expected[i / 7 % 5], std::abs(values[i]));
  }
  ChannelMax all, a, b;
  all.add(Tensor::of<float>({2, 5, 7}, values).view(), 1);
  a.add(first_half.view(), 1);
  b.add(second_half.view(), 1);
  b.merge(a);
  EXPECT_EQ(all.values(), expected);
  EXPECT_EQ(b.values(), expected);
  std::vector<float> last(values.size());  // channels last
  for (size_t n = 0; n < 2; ++n) {
    for (size_t c = 0; c < 5; ++c) {
      for (size_t p = 0; p < 7; ++p) last[(n * 7 + p) * 5 + c] = values[(n * 5 + c) * 7 + p];
    }
  }
  ChannelMax channels_last;
  channels_last.add(Tensor::of<float>({2, 7, 5}, last).view(), 2);
  EXPECT_EQ(channels_last.values(), expected);
  EXPECT_TRUE(all.finite());
}

TEST(ChannelMaxTest, SeesNaN) {
  for (const size_t axis : {size_t{1}, size_t{2}}) {
    ChannelMax channels;
    channels.add(Tensor::of<float>({1, 2, 3}, {1, 2, std::numeric_limits<float>::quiet_NaN(), 4, 5, 6}).view(), axis);
    channels.add(Tensor::of<float>({1, 2, 3}, {9, 9, 9, 9, 9, 9}).view(), axis);
    EXPECT_FALSE(channels.finite());
  }
}

}  // namespace
}  // namespace amct::testing

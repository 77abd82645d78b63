// One pixel of a depthwise convolution, on every instruction set, against plain sums.
#include "kernels/simd/int_depthwise.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <random>
#include <vector>

namespace amct {
namespace {

class IntDepthwise : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(IntDepthwise, EqualsPlainSums) {
  std::mt19937 random(20240923);
  std::uniform_int_distribution<int> any(-32768, 32767);
  for (const int64_t channels : {1, 3, 7, 8, 9, 16, 21, 40}) {
    for (const size_t positions : {0, 1, 2, 9, 25}) {
      SCOPED_TRACE(testing::Message() << channels << " channels, " << positions << " positions");
      std::vector<int64_t> offsets(positions);
      for (int64_t& offset : offsets) offset = std::uniform_int_distribution<int64_t>(0, 300)(random);
      std::vector<int16_t> x(static_cast<size_t>(300 + channels)), weights(positions * static_cast<size_t>(channels));
      for (int16_t& value : x) value = static_cast<int16_t>(any(random));
      for (int16_t& value : weights) value = static_cast<int16_t>(any(random));  // sums wrap around
      constexpr int32_t kUntouched = 123456789;
      std::vector<int32_t> sums(static_cast<size_t>(channels) + 1, kUntouched);
      int_depthwise(x.data(), offsets, weights.data(), channels, sums.data());
      for (int64_t c = 0; c < channels; ++c) {
        int64_t expected = 0;
        for (size_t s = 0; s < positions; ++s) {
          expected += int64_t{x[offsets[s] + c]} * weights[s * static_cast<size_t>(channels) + c];
        }
        EXPECT_EQ(sums[c], static_cast<int32_t>(expected)) << "channel " << c;
      }
      EXPECT_EQ(sums.back(), kUntouched);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, IntDepthwise, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace amct

#include "kernels/simd/int_window_sums.h"

#include <gtest/gtest.h>

#include "kernels/simd/conv_reference.h"

namespace amct {
namespace {

TEST(IntWindowSums, LeavesPadsOut) {
  const IntConvShape s{.in_channels = 2,
                       .out_channels = 2,
                       .input = {1, 2, 3},
                       .output = {1, 2, 2},
                       .kernel = {1, 2, 2},
                       .strides = {1, 1, 2},
                       .pads = {0, 0, 0}};
  const std::vector<int8_t> x = {1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
  std::vector<int64_t> sums(8);
  int_window_sums(s, {x.data(), IntInput::Type::kInt8, 1}, sums.data());
  EXPECT_EQ(sums, (std::vector<int64_t>{8, 7, 7, 5, -16, -11, -11, -7}));
}

// A depthwise convolution with weights 1, whose pads count as zero.
TEST(IntWindowSums, EqualsAConvolutionOfOnes) {
  Random random;
  SCOPED_TRACE(random.seed);
  for (const bool last : {false, true}) {
    const IntConvShape s{.batch = 2,
                         .groups = 3,
                         .in_channels = 3,
                         .out_channels = 3,
                         .input = {3, 7, 5},
                         .output = {2, 4, 4},
                         .kernel = {2, 3, 2},
                         .strides = {2, 2, 1},
                         .dilations = {1, 2, 3},
                         .pads = {1, 2, 1},
                         .channels_last = last};
    const auto x = random.values<int16_t>(2 * 3 * 3 * 7 * 5, -32768, 32767);
    const std::vector<int8_t> ones(3 * 2 * 3 * 2, 1);
    std::vector<int64_t> sums(2 * 3 * 2 * 4 * 4);
    int_window_sums(s, {x.data(), IntInput::Type::kInt16, -1234}, sums.data());
    EXPECT_EQ(sums, reference(s, false, x, -1234, ones, {}, {}));
  }
}

}  // namespace
}  // namespace amct

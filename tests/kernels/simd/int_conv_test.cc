#include "kernels/simd/int_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/simd/byte_dot.h"
#include "kernels/simd/conv_reference.h"
#include "kernels/simd/int_conv_transpose.h"

namespace amct {
namespace {

std::vector<IntConvShape> shapes() {
  return {
      {.batch = 2,
       .in_channels = 3,
       .out_channels = 5,
       .input = {1, 7, 6},
       .output = {1, 7, 6},
       .kernel = {1, 3, 3},
       .pads = {0, 1, 1}},
      {.groups = 2,
       .in_channels = 6,
       .out_channels = 34,
       .input = {1, 8, 9},
       .output = {1, 4, 4},
       .kernel = {1, 3, 2},
       .strides = {1, 2, 2},
       .pads = {0, 1, 0}},
      {.batch = 2,
       .groups = 7,
       .in_channels = 7,
       .out_channels = 7,
       .input = {1, 9, 8},
       .output = {1, 5, 4},
       .kernel = {1, 3, 3},
       .strides = {1, 2, 2},
       .pads = {0, 1, 1}},
      {.groups = 3, .in_channels = 3, .out_channels = 9, .input = {1, 9, 8}, .output = {1, 7, 6}, .kernel = {1, 3, 3}},
      {.in_channels = 5,
       .out_channels = 4,
       .input = {1, 11, 10},
       .output = {1, 9, 8},
       .kernel = {1, 3, 3},
       .dilations = {1, 2, 3},
       .pads = {0, 1, 2}},
      {.in_channels = 2, .out_channels = 3, .input = {4, 5, 6}, .output = {3, 3, 6}, .kernel = {2, 3, 1}},
      {.batch = 3, .in_channels = 17, .out_channels = 33, .input = {1, 1, 5}, .output = {1, 1, 5}},
      {.batch = 2, .in_channels = 18, .out_channels = 9, .input = {1, 20, 19}, .output = {1, 20, 19}},
      {.in_channels = 4, .out_channels = 3, .input = {1, 5, 4}, .output = {1, 8, 6}, .pads = {0, 2, 1}},
      {.groups = 11,
       .in_channels = 11,
       .out_channels = 11,
       .input = {1, 9, 8},
       .output = {1, 8, 5},
       .kernel = {1, 3, 2},
       .dilations = {1, 1, 3},
       .pads = {0, 0, 1}}};
}

template <typename X, typename W>
void check_forward(int32_t zero, int w_zero_bound) {
  Random random;
  SCOPED_TRACE(random.seed);
  using L = std::numeric_limits<X>;
  using LW = std::numeric_limits<W>;
  for (IntConvShape s : shapes()) {
    for (const bool last : {false, true}) {
      s.channels_last = last;
      const auto x = random.values<X>(s.batch * s.in_channels * IntConvShape::product(s.input), L::min(), L::max());
      const auto w =
          random.values<W>(s.out_channels * s.in_group() * IntConvShape::product(s.kernel), LW::min(), LW::max());
      const auto bias = random.values<int32_t>(s.out_channels, -100000, 100000);
      auto w_zero = random.values<int32_t>(s.out_channels, 0, w_zero_bound);
      if (w_zero_bound == 0) w_zero.clear();
      const auto expected = reference(s, false, x, zero, w, w_zero, bias);
      for (size_t kernel = 0; kernel <= byte_dots().size(); ++kernel) {  // the last: 16-bit products
        const IntConv conv(s, w.data(), w_zero.empty() ? nullptr : w_zero.data(),
                           {.dots = byte_dots().subspan(kernel), .depthwise_quads = kernel == 0});
        SCOPED_TRACE(conv.implementation(type_of<X>()));
        std::vector<int32_t> narrow(expected.size());
        std::vector<int64_t> wide(expected.size());
        conv.run({x.data(), type_of<X>(), zero}, bias.data(), narrow.data(), 2);
        conv.run({x.data(), type_of<X>(), zero}, bias.data(), wide.data(), 1);
        ASSERT_EQ(wide, expected);
        ASSERT_TRUE(std::equal(narrow.begin(), narrow.end(), expected.begin(),
                               [](int32_t a, int64_t b) { return a == static_cast<int32_t>(b); }));
      }
    }
  }
}

TEST(IntConv, Int8) { check_forward<int8_t, int8_t>(-37, 0); }
TEST(IntConv, Int8ExtremeOffset) { check_forward<int8_t, int8_t>(127, 0); }
TEST(IntConv, Int16WithOffset) { check_forward<int16_t, int8_t>(-32768, 0); }
TEST(IntConv, UInt8WithWeightZeroPoints) { check_forward<uint8_t, uint8_t>(128, 255); }

TEST(IntConv, FullRangeDeep) {
  IntConvShape s{.in_channels = 512,
                 .out_channels = 3,
                 .input = {1, 4, 4},
                 .output = {1, 4, 4},
                 .kernel = {1, 3, 3},
                 .pads = {0, 1, 1}};
  for (const int32_t zero : {-32768, 0, 32767}) {
    std::vector<int16_t> x(512 * 16, static_cast<int16_t>(zero > 0 ? -32768 : 32767));
    std::vector<int8_t> w(3 * 4608, -128);
    const auto expected = reference(s, false, x, zero, w, {}, {});
    EXPECT_GT(std::abs(expected[5]), int64_t{1} << 31);
    std::vector<int64_t> y(expected.size());
    IntConv(s, w.data()).run({x.data(), IntInput::Type::kInt16, zero}, nullptr, y.data(), 1);
    ASSERT_EQ(y, expected);
  }
}

TEST(IntConvTranspose, EqualsReference) {
  Random random;
  SCOPED_TRACE(random.seed);
  std::vector<IntConvShape> cases = {{.batch = 2,
                                      .in_channels = 5,
                                      .out_channels = 3,
                                      .input = {1, 4, 5},
                                      .output = {1, 8, 10},
                                      .kernel = {1, 2, 2},
                                      .strides = {1, 2, 2}},
                                     {.groups = 2,
                                      .in_channels = 6,
                                      .out_channels = 4,
                                      .input = {1, 3, 4},
                                      .output = {1, 6, 9},
                                      .kernel = {1, 3, 3},
                                      .strides = {1, 2, 2},
                                      .dilations = {1, 1, 2},
                                      .pads = {0, 1, 1}}};
  for (IntConvShape s : cases) {
    for (const bool last : {false, true}) {
      s.channels_last = last;
      const auto x = random.values<int16_t>(s.batch * s.in_channels * IntConvShape::product(s.input), -32768, 32767);
      const int64_t positions = IntConvShape::product(s.kernel);
      const auto w = random.values<int8_t>(s.in_channels * s.out_group() * positions, -128, 127);
      const auto bias = random.values<int32_t>(s.out_channels, -1000, 1000);
      const auto expected = reference(s, true, x, -700, w, {}, bias);
      const IntConvTranspose conv(s, w.data(), positions, s.out_group() * positions);
      std::vector<int64_t> wide(expected.size());
      std::vector<int32_t> narrow(expected.size());
      conv.run({x.data(), IntInput::Type::kInt16, -700}, bias.data(), wide.data(), 2);
      conv.run({x.data(), IntInput::Type::kInt16, -700}, bias.data(), narrow.data(), 1);
      ASSERT_EQ(wide, expected);
      ASSERT_TRUE(std::equal(narrow.begin(), narrow.end(), expected.begin(),
                             [](int32_t a, int64_t b) { return a == static_cast<int32_t>(b); }));
    }
  }
}

}  // namespace
}  // namespace amct

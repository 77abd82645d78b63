// Convolutions of bytes, as IntConv runs them, by every instruction that multiplies bytes.
#include "kernels/simd/byte_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/simd/conv_reference.h"

namespace amct {
namespace {

// Every width of a block, every number of rows left over, windows that are read in place and copied ones.
std::vector<IntConvShape> byte_shapes() {
  std::vector<IntConvShape> shapes;
  for (const int64_t out : {1, 15, 17, 33, 47, 64, 65, 130}) {
    for (const int64_t pixels : {1, 2, 5, 8, 13}) {
      shapes.push_back({.in_channels = 12, .out_channels = out, .input = {1, 1, pixels}, .output = {1, 1, pixels}});
    }
  }
  shapes.push_back({.batch = 2,
                    .in_channels = 8,
                    .out_channels = 20,
                    .input = {1, 9, 7},
                    .output = {1, 5, 4},
                    .strides = {1, 2, 2}});
  shapes.push_back({.in_channels = 4,
                    .out_channels = 6,
                    .input = {3, 9, 7},
                    .output = {2, 4, 3},
                    .kernel = {2, 3, 3},
                    .strides = {1, 2, 2}});
  shapes.push_back({.groups = 3,
                    .in_channels = 12,
                    .out_channels = 51,
                    .input = {1, 6, 5},
                    .output = {1, 6, 5},
                    .kernel = {1, 3, 3},
                    .pads = {0, 1, 1}});
  for (const int64_t out : {3, 8, 24, 64}) {  // more pixels than one tile takes
    shapes.push_back({.in_channels = 4, .out_channels = out, .input = {1, 21, 15}, .output = {1, 21, 15}});
  }
  for (const int64_t channels : {3, 8, 24, 96}) {  // whose pixels stand side by side, with and without a rest
    for (const int64_t width : {5, 16, 19}) {
      shapes.push_back({.batch = 2,
                        .groups = channels,
                        .in_channels = channels,
                        .out_channels = channels,
                        .input = {1, 4, width},
                        .output = {1, 4, width},
                        .kernel = {1, 3, 3},
                        .pads = {0, 1, 1}});
    }
  }
  for (const int64_t channels : {64, 80, 130}) {
    shapes.push_back({.groups = channels,
                      .in_channels = channels,
                      .out_channels = channels,
                      .input = {1, 7, 9},
                      .output = {1, 7, 9},
                      .kernel = {1, 5, 5},
                      .pads = {0, 2, 2}});
    shapes.push_back({.groups = channels,
                      .in_channels = channels,
                      .out_channels = channels,
                      .input = {1, 7, 9},
                      .output = {1, 7, 9},
                      .kernel = {1, 3, 3},
                      .pads = {0, 1, 1}});
  }
  return shapes;
}

template <typename X>
void check_bytes(int32_t zero) {
  Random random;
  SCOPED_TRACE(random.seed);
  using L = std::numeric_limits<X>;
  for (IntConvShape s : byte_shapes()) {
    s.channels_last = true;
    const auto x = random.values<X>(s.batch * s.in_channels * IntConvShape::product(s.input), L::min(), L::max());
    const auto w = random.values<int8_t>(s.out_channels * s.in_group() * IntConvShape::product(s.kernel), -128, 127);
    const auto bias = random.values<int32_t>(s.out_channels, -100000, 100000);
    const auto expected = reference(s, false, x, zero, w, {}, bias);
    for (size_t kernel = 0; kernel <= byte_dots().size(); ++kernel) {
      const IntConv conv(s, w.data(), nullptr,
                         {.bytes_only = true, .dots = byte_dots().subspan(kernel), .depthwise_quads = kernel == 0});
      SCOPED_TRACE(testing::Message() << conv.implementation(type_of<X>()) << ", " << s.in_channels << " to "
                                      << s.out_channels << " channels, " << IntConvShape::product(s.output));
      for (const int threads : {1, 3}) {
        std::vector<int32_t> y(expected.size());
        conv.run({x.data(), type_of<X>(), zero}, bias.data(), y.data(), threads);
        ASSERT_TRUE(std::equal(y.begin(), y.end(), expected.begin()));
      }
    }
  }
}

// The same layers with their sums requantized by a factor for each channel.
TEST(ByteConv, WithAnEpilogue) {
  Random random;
  SCOPED_TRACE(random.seed);
  for (IntConvShape s : byte_shapes()) {
    s.channels_last = true;
    const auto x = random.values<uint8_t>(s.batch * s.in_channels * IntConvShape::product(s.input), 0, 255);
    const auto w = random.values<int8_t>(s.out_channels * s.in_group() * IntConvShape::product(s.kernel), -128, 127);
    const auto sums = reference(s, false, x, 117, w, {}, {});
    std::vector<float> scales(static_cast<size_t>(s.out_channels));
    for (float& scale : scales) scale = std::uniform_real_distribution<float>(1e-4f, 2e-3f)(random.engine);
    const IntEpilogue epilogue({{.kind = IntStage::Kind::kScale, .scales = scales},
                                {.kind = IntStage::Kind::kQuantize, .low = -128, .high = 127, .zero = -7}},
                               s.out_channels, DType::kInt8);
    for (size_t kernel = 0; kernel <= byte_dots().size(); ++kernel) {
      const IntConv conv(s, w.data(), nullptr,
                         {.bytes_only = true, .dots = byte_dots().subspan(kernel), .depthwise_quads = kernel == 0});
      SCOPED_TRACE(testing::Message() << kernel << ", " << s.in_channels << " to " << s.out_channels << " channels, "
                                      << IntConvShape::product(s.output));
      for (const int threads : {1, 3}) {
        std::vector<int8_t> y(sums.size());
        conv.run({x.data(), IntInput::Type::kUInt8, 117}, nullptr, epilogue, {y.data(), {}}, threads);
        for (size_t i = 0; i < y.size(); ++i) {
          const float scale = scales[s.out_channels == 1 ? 0 : i % scales.size()];
          const float steps = std::nearbyint(static_cast<float>(sums[i]) * scale) - 7;
          ASSERT_EQ(static_cast<float>(y[i]), std::min(std::max(steps, -128.0f), 127.0f)) << i;
        }
      }
    }
  }
}

TEST(ByteConv, OfEveryExtent) {
  check_bytes<int8_t>(-128);
  check_bytes<int8_t>(11);
  check_bytes<uint8_t>(0);
  check_bytes<uint8_t>(255);
}

// The largest sums of bytes: nothing on the way may saturate.
TEST(ByteConv, AtTheirExtremes) {
  const IntConvShape s{
      .in_channels = 8192, .out_channels = 16, .input = {1, 1, 3}, .output = {1, 1, 3}, .channels_last = true};
  for (const int8_t weight : {-128, 127}) {
    const std::vector<uint8_t> x(3 * 8192, 255);
    const std::vector<int8_t> w(16 * 8192, weight);
    for (size_t kernel = 0; kernel <= byte_dots().size(); ++kernel) {
      std::vector<int32_t> y(48);
      IntConv(s, w.data(), nullptr, {.dots = byte_dots().subspan(kernel), .depthwise_quads = kernel == 0})
          .run({x.data(), IntInput::Type::kUInt8, 0}, nullptr, y.data(), 1);
      EXPECT_EQ(y, std::vector<int32_t>(48, 8192 * 255 * weight));
    }
  }
}

}  // namespace
}  // namespace amct

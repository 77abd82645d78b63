#include "kernels/simd/int_conv.h"
#include "kernels/simd/byte_dot.h"
#include "kernels/simd/int_conv_transpose.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace amct {
namespace {

using Spatial = IntConvShape::Spatial;

struct Random {
  unsigned seed = std::random_device{}();
  std::mt19937 engine{seed};
  template <typename T>
  std::vector<T> values(int64_t count, int low, int high) {
    std::uniform_int_distribution<int> pick(low, high);
    std::vector<T> result(count);
    for (T& v : result) v = static_cast<T>(pick(engine));
    return result;
  }
};

int64_t flat(const Spatial& at, const Spatial& extents) { return (at[0] * extents[1] + at[1]) * extents[2] + at[2]; }
Spatial unflat(int64_t i, const Spatial& e) { return {i / (e[1] * e[2]), i / e[2] % e[1], i % e[2]}; }

// Index of (sample, channel, pixel) in an activation.
int64_t index(const IntConvShape& s, int64_t n, int64_t c, int64_t pixel, int64_t channels, const Spatial& extents) {
  const int64_t pixels = IntConvShape::product(extents);
  return s.channels_last ? (n * pixels + pixel) * channels + c : (n * channels + c) * pixels + pixel;
}

// Visits every (output index, input index, weight group/out/in/position) of the convolution, forward or transposed.
template <typename F>
void visit_products(const IntConvShape& s, bool transposed, F&& f) {
  const Spatial& small = transposed ? s.input : s.output;
  const Spatial& large = transposed ? s.output : s.input;
  for (int64_t pixel = 0; pixel < IntConvShape::product(small); ++pixel) {
    for (int64_t k = 0; k < IntConvShape::product(s.kernel); ++k) {
      const Spatial at = unflat(pixel, small);
      const Spatial kernel = unflat(k, s.kernel);
      Spatial other;
      bool inside = true;
      for (size_t i = 0; i < 3; ++i) {
        other[i] = at[i] * s.strides[i] + kernel[i] * s.dilations[i] - s.pads[i];
        inside = inside && other[i] >= 0 && other[i] < large[i];
      }
      if (inside) f(transposed ? flat(other, large) : pixel, transposed ? pixel : flat(other, large), k);
    }
  }
}

template <typename X, typename W>
std::vector<int64_t> reference(const IntConvShape& s, bool transposed, const std::vector<X>& x, int32_t zero,
                               const std::vector<W>& w, const std::vector<int32_t>& w_zero,
                               const std::vector<int32_t>& bias) {
  std::vector<int64_t> y(s.batch * s.out_channels * IntConvShape::product(s.output));
  const int64_t positions = IntConvShape::product(s.kernel);
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t o = 0; o < s.out_channels; ++o) {
      const int64_t group = o / s.out_group();
      for (int64_t p = 0; p < IntConvShape::product(s.output); ++p) {
        y[index(s, n, o, p, s.out_channels, s.output)] = bias.empty() ? 0 : bias[o];
      }
      for (int64_t i = 0; i < s.in_group(); ++i) {
        visit_products(s, transposed, [&](int64_t out, int64_t in, int64_t k) {
          const int64_t c = group * s.in_group() + i;
          const int64_t at = transposed ? ((c)*s.out_group() + o % s.out_group()) * positions + k
                                        : (o * s.in_group() + i) * positions + k;
          y[index(s, n, o, out, s.out_channels, s.output)] +=
              (int64_t{w[at]} - (w_zero.empty() ? 0 : w_zero[o])) *
              (int64_t{x[index(s, n, c, in, s.in_channels, s.input)]} - zero);
        });
      }
    }
  }
  return y;
}

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

template <typename X>
IntInput::Type type_of();
template <>
IntInput::Type type_of<int8_t>() {
  return IntInput::Type::kInt8;
}
template <>
IntInput::Type type_of<uint8_t>() {
  return IntInput::Type::kUInt8;
}
template <>
IntInput::Type type_of<int16_t>() {
  return IntInput::Type::kInt16;
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
        const IntConv conv(s, w.data(), w_zero.empty() ? nullptr : w_zero.data(), {.kernel = kernel});
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
      const IntConv conv(s, w.data(), nullptr, {.bytes_only = true, .kernel = kernel});
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
TEST(IntConv, BytesWithAnEpilogue) {
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
      const IntConv conv(s, w.data(), nullptr, {.bytes_only = true, .kernel = kernel});
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

TEST(IntConv, BytesOfEveryExtent) {
  check_bytes<int8_t>(-128);
  check_bytes<int8_t>(11);
  check_bytes<uint8_t>(0);
  check_bytes<uint8_t>(255);
}

// The largest sums of bytes: nothing on the way may saturate.
TEST(IntConv, BytesAtTheirExtremes) {
  const IntConvShape s{
      .in_channels = 8192, .out_channels = 16, .input = {1, 1, 3}, .output = {1, 1, 3}, .channels_last = true};
  for (const int8_t weight : {-128, 127}) {
    const std::vector<uint8_t> x(3 * 8192, 255);
    const std::vector<int8_t> w(16 * 8192, weight);
    for (size_t kernel = 0; kernel <= byte_dots().size(); ++kernel) {
      std::vector<int32_t> y(48);
      IntConv(s, w.data(), nullptr, {.kernel = kernel})
          .run({x.data(), IntInput::Type::kUInt8, 0}, nullptr, y.data(), 1);
      EXPECT_EQ(y, std::vector<int32_t>(48, 8192 * 255 * weight));
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

}  // namespace
}  // namespace amct

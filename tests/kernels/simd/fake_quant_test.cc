#include "kernels/simd/fake_quant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace amct {
namespace {

// The chain of the exported graph, one float32 operation at a time.
float integer_of(float x, const QuantizeSpec& spec) {
  volatile float scaled = x * spec.inv_scale;
  volatile float shifted = std::nearbyint(static_cast<float>(scaled)) + static_cast<float>(spec.offset);
  return std::clamp(static_cast<float>(shifted), static_cast<float>(spec.low), static_cast<float>(spec.high));
}

float fake_of(float x, const QuantizeSpec& spec) {
  volatile float centred = integer_of(x, spec) - static_cast<float>(spec.offset);
  return centred * spec.scale;
}

std::vector<float> sample(std::mt19937& random, size_t count, float scale) {
  std::normal_distribution<float> normal(0, 60);
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) {
    const float steps = normal(random);
    x[i] = i % 3 == 0 ? (std::floor(steps) + 0.5f) * scale : steps * scale;  // every third one half-way or nearly so
  }
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> special = {0.0f, -0.0f, inf, -inf, 1e-42f, -3e38f, 3e38f};
  for (size_t i = 0; i < special.size() && i < count; ++i) x[count - 1 - i] = special[i];
  return x;
}

class FakeQuantTest : public testing::TestWithParam<int> {};

TEST_P(FakeQuantTest, EqualsTheChainInEveryBit) {
  const int bits = GetParam();
  const unsigned seed = 100 + static_cast<unsigned>(bits);
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const size_t count : {0, 1, 3, 15, 16, 17, 31, 67, 1000}) {
    for (const float scale : {1.0f, 0.037f, 1e-6f, 812.5f}) {
      for (const int32_t offset : {0, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, 3}) {
        const QuantizeSpec spec = QuantizeSpec::of(scale, offset, bits);
        const std::vector<float> x = sample(random, count, scale);
        std::vector<float> y(count + 1, 77.0f);
        std::vector<int16_t> q(count + 1, 77);
        fake_quantize(x.data(), y.data(), count, spec);
        quantize(x.data(), q.data(), count, spec);
        for (size_t i = 0; i < count; ++i) {
          ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(fake_of(x[i], spec))) << i << " x " << x[i];
          ASSERT_EQ(q[i], integer_of(x[i], spec)) << i << " x " << x[i];
        }
        EXPECT_EQ(y[count], 77.0f);
        EXPECT_EQ(q[count], 77);
        if (bits > 8) continue;
        std::vector<int8_t> narrow(count + 1, 77);
        quantize(x.data(), narrow.data(), count, spec);
        EXPECT_EQ(narrow[count], 77);
        for (size_t i = 0; i < count; ++i) ASSERT_EQ(narrow[i], q[i]);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, FakeQuantTest, testing::Values(4, 8, 16));

TEST(FakeQuantTest, WorksInPlace) {
  std::vector<float> x(37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 0.3f - 4;
  const QuantizeSpec spec = QuantizeSpec::of(0.25f, 5, 4);
  std::vector<float> y(x.size());
  fake_quantize(x.data(), y.data(), x.size(), spec);
  fake_quantize(x.data(), x.data(), x.size(), spec);
  EXPECT_EQ(x, y);
}

}  // namespace
}  // namespace amct

// Quantization and dequantization of arrays, on every instruction set, against the formula.
#include "kernels/simd/quantize_linear.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace amct {
namespace {

class QuantizeLinear : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  static float quantum(float value, const LinearQuantizer& q) {
    volatile float steps = value / q.scale;
    steps = std::nearbyint(steps);
    steps = steps + static_cast<float>(q.zero);
    return std::min(std::max(static_cast<float>(q.low), float{steps}), static_cast<float>(q.high));
  }

  template <typename T>
  void check(int32_t zero) {
    using Limits = std::numeric_limits<T>;
    const LinearQuantizer q{.scale = 0.37f, .zero = zero, .low = Limits::min(), .high = Limits::max()};
    std::mt19937 random(20240923);
    for (const size_t count : {0, 1, 5, 16, 33, 100}) {
      std::vector<float> x(count), back(count + 1, -5.0f);
      for (float& v : x) v = std::normal_distribution<float>(0, 0.3f * static_cast<float>(Limits::max()))(random);
      for (size_t i = 0; i < std::min<size_t>(count, 16); ++i) x[i] = (static_cast<float>(i) - 7.5f) * q.scale;  // ties
      if (count > 30) x[20] = INFINITY, x[21] = -INFINITY, x[22] = 1e30f, x[23] = -0.0f;
      std::vector<T> y(count + 1, T{77});
      quantize_linear(x.data(), y.data(), count, q);
      dequantize_linear(y.data(), back.data(), count, q);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(static_cast<float>(y[i]), quantum(x[i], q)) << x[i];
        ASSERT_EQ(back[i], (static_cast<float>(y[i]) - static_cast<float>(zero)) * q.scale);
      }
      EXPECT_EQ(y[count], T{77});
      EXPECT_EQ(back[count], -5.0f);
    }
  }

  template <typename A, typename B, typename T>
  void check_sum() {
    std::mt19937 random(7);
    const LinearQuantizer q{
        .scale = 0.9f, .zero = 3, .low = std::numeric_limits<T>::min(), .high = std::numeric_limits<T>::max()};
    for (const size_t count : {1, 16, 37}) {
      std::vector<A> a(count);
      std::vector<B> b(count);
      for (A& v : a) v = static_cast<A>(random());
      for (B& v : b) v = static_cast<B>(random());
      std::vector<T> y(count + 1, T{77});
      add_quantized<T>({a.data(), std::is_signed_v<A>, 0.5f, 4}, {b.data(), std::is_signed_v<B>, 1.25f, -9}, y.data(),
                       count, q);
      for (size_t i = 0; i < count; ++i) {
        const volatile float left = (static_cast<float>(a[i]) - 4) * 0.5f,
                             right = (static_cast<float>(b[i]) + 9) * 1.25f;
        ASSERT_EQ(static_cast<float>(y[i]), quantum(left + right, q)) << +a[i] << " and " << +b[i];
      }
      EXPECT_EQ(y[count], T{77});
    }
  }
};

TEST_P(QuantizeLinear, EqualsTheFormula) {
  check<int8_t>(-3);
  check<uint8_t>(117);
  check<int16_t>(-1000);
  check<uint16_t>(33000);
}

TEST_P(QuantizeLinear, DequantizesSums) {
  const std::vector<int32_t> x = {0, 1, -1, 16777217, -16777217, std::numeric_limits<int32_t>::min(), 5};
  std::vector<float> y(x.size());
  dequantize_linear(x.data(), y.data(), x.size(), {.scale = 0.001f});
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], static_cast<float>(x[i]) * 0.001f);
}

TEST_P(QuantizeLinear, AddsQuantizedArrays) {
  check_sum<int8_t, int8_t, int8_t>();
  check_sum<int8_t, uint8_t, uint8_t>();
  check_sum<uint8_t, int8_t, int8_t>();
  check_sum<uint8_t, uint8_t, uint8_t>();
}

INSTANTIATE_TEST_SUITE_P(Targets, QuantizeLinear, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace amct

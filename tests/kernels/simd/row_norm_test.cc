// Row normalization against a loop in double, over lengths around the vector length.
#include "kernels/simd/row_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "support/values.h"

namespace amct::testing {
namespace {

std::vector<float> uniform(size_t n, float low, float high, uint32_t seed) {
  std::mt19937 random(seed);
  return uniform_values(n, random, low, high);
}

TEST(RowNorm, EqualsALoopInDouble) {
  for (const size_t n : {1, 2, 7, 15, 16, 17, 63, 64, 65, 127, 768, 1001}) {
    for (const bool centre : {true, false}) {
      for (const bool with_bias : {true, false}) {
        SCOPED_TRACE(::testing::Message() << n << " columns, centre " << centre << ", bias " << with_bias);
        const std::vector<float> x = uniform(n, 99, 101, 3), scale = uniform(n, 0.5, 2, 4), bias = uniform(n, -1, 1, 5);
        std::vector<float> y(n);
        float mean = -1, factor = -1;
        float_row_norm({static_cast<int64_t>(n), scale.data(), with_bias ? bias.data() : nullptr, 1e-3, centre},
                       x.data(), y.data(), &mean, &factor);
        double m = 0, s = 0;
        for (const float v : x) m += centre ? v / static_cast<double>(n) : 0;
        for (const float v : x) s += (v - m) * (v - m) / static_cast<double>(n);
        EXPECT_NEAR(mean, m, 1e-5);
        EXPECT_NEAR(factor, 1 / std::sqrt(s + 1e-3), 1e-4 / std::sqrt(s + 1e-3));
        for (size_t i = 0; i < n; ++i) {
          const double expected = (x[i] - m) / std::sqrt(s + 1e-3) * scale[i] + (with_bias ? bias[i] : 0);
          ASSERT_NEAR(y[i], expected, 1e-3) << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace amct::testing

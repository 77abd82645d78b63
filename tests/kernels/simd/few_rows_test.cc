#include "kernels/simd/few_rows.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/values.h"

namespace amct::testing {
namespace {

TEST(FewRows, AgreeWithSumsInDouble) {
  std::mt19937 random(6);
  for (const int64_t rows : {1, 2, 4, 7}) {
    for (const int64_t n : {1, 5, 64, 131}) {
      for (const int64_t k : {1, 19, 64, 200}) {
        SCOPED_TRACE(::testing::Message() << rows << " x " << k << " x " << n);
        const std::vector<float> a = normal_values(static_cast<size_t>(rows * k), random);
        const std::vector<float> b = normal_values(static_cast<size_t>(n * k), random);
        std::vector<float> straight(static_cast<size_t>(rows * n)), transposed = straight;
        few_rows_times(a.data(), b.data(), rows, n, k, straight.data());
        few_rows_times_transposed(a.data(), b.data(), rows, n, k, transposed.data());
        for (int64_t row = 0; row < rows; ++row) {
          for (int64_t column = 0; column < n; ++column) {
            double sums[2] = {0, 0};
            for (int64_t i = 0; i < k; ++i) {
              const double x = a[static_cast<size_t>(row * k + i)];
              sums[0] += x * static_cast<double>(b[static_cast<size_t>(i * n + column)]);
              sums[1] += x * static_cast<double>(b[static_cast<size_t>(column * k + i)]);
            }
            const auto at = static_cast<size_t>(row * n + column);
            ASSERT_NEAR(straight[at], sums[0], 1e-6 * (20 + static_cast<double>(k)));
            ASSERT_NEAR(transposed[at], sums[1], 1e-6 * (20 + static_cast<double>(k)));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace amct::testing

#include "kernels/simd/int_gemm.h"

#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <random>

namespace amct {
namespace {

struct Case {
  int64_t m, n, k;
  int a_bound;  // |a| <= a_bound
};

std::vector<int16_t> random_rows(std::mt19937& random, int64_t rows, int64_t columns, int64_t stride, int bound) {
  std::uniform_int_distribution<int> pick(-bound - 1, bound);
  std::vector<int16_t> values(rows * stride, 12345);  // what lies past the columns must not matter
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) values[r * stride + i] = static_cast<int16_t>(pick(random));
  }
  return values;
}

// All targets that this program holds and this processor runs.
class IntGemm : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(IntGemm, EqualsInt64Reference) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const Case& at : {Case{1, 1, 1, 127}, Case{7, 5, 27, 127}, Case{13, 33, 10, 32767}, Case{9, 64, 4608, 127},
                         Case{3, 47, 4608, 32767}, Case{8, 16, 255, 32767}, Case{17, 32, 513, 32767}}) {
    SCOPED_TRACE(testing::Message() << at.m << " x " << at.n << " x " << at.k);
    const auto w = random_rows(random, at.n, at.k, at.k, 127);
    const PackedWeights packed = PackedWeights::pack(w.data(), at.n, at.k, at.k, 1);
    const int64_t lda = packed.padded_depth() + 3;
    auto a = random_rows(random, at.m, at.k, lda, at.a_bound);
    for (int64_t i = 0; i < at.k && at.a_bound > 127; ++i) a[i] = -32768;  // extremes in one row
    const int64_t ldc = packed.padded_rows();
    std::vector<int32_t> narrow(at.m * ldc), scratch(at.m * ldc);
    std::vector<int64_t> wide(at.m * ldc);
    int_gemm(a.data(), lda, at.m, packed, narrow.data(), ldc);
    int_gemm_wide(a.data(), lda, at.m, packed, wide.data(), ldc, scratch.data());
    for (int64_t m = 0; m < at.m; ++m) {
      for (int64_t n = 0; n < at.n; ++n) {
        int64_t expected = 0;
        for (int64_t i = 0; i < at.k; ++i) expected += int64_t{a[m * lda + i]} * w[n * at.k + i];
        ASSERT_EQ(wide[m * ldc + n], expected) << m << " " << n;
        ASSERT_EQ(narrow[m * ldc + n], static_cast<int32_t>(expected)) << m << " " << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, IntGemm, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST(PackedWeights, ZeroPointsAndStridesAndSums) {
  const std::vector<uint8_t> data = {10, 20, 30, 40, 50, 255};  // (k = 3, n = 2), n fastest
  const std::vector<int32_t> zero = {5, 255};
  const PackedWeights packed = PackedWeights::pack(data.data(), 2, 3, 1, 2, zero.data());
  EXPECT_EQ(packed.row_sums(), (std::vector<int64_t>{10 + 30 + 50 - 15, 20 + 40 + 255 - 765}));
  const std::vector<int16_t> a = {1, 2, 3, 0};
  std::vector<int32_t> c(PackedWeights::kPanel);
  int_gemm(a.data(), 4, 1, packed, c.data(), PackedWeights::kPanel);
  EXPECT_EQ(c[0], 5 + 50 + 135);
  EXPECT_EQ(c[1], -235 - 430 + 0);
}

}  // namespace
}  // namespace amct

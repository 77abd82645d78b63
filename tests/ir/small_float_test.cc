// The 8- and 4-bit floats: every code comes back, values between codes round to the nearest with ties to even, and what
// is beyond the largest saturates or not, as ONNX's Cast says.
#include "ir/small_float.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "ir/tensor.h"

namespace amct {
namespace {

constexpr DType kTypes[] = {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                            DType::kFloat4E2M1};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int codes_of(DType dtype) { return 1 << bit_width(dtype); }

float rounded(DType dtype, float value, bool saturate = true) {
  return small_float_values(dtype)[small_float_code(dtype, value, saturate)];
}

TEST(SmallFloat, EveryCodeComesBack) {
  for (const DType dtype : kTypes) {
    for (int code = 0; code < codes_of(dtype); ++code) {
      const float value = small_float_values(dtype)[static_cast<size_t>(code)];
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(rounded(dtype, value))) << name_of(dtype) << " " << code;
      } else if (!std::isinf(value)) {
        EXPECT_EQ(small_float_code(dtype, value), code) << name_of(dtype);
        EXPECT_EQ(small_float_code(dtype, value, false), code) << name_of(dtype);
      }
    }
  }
}

TEST(SmallFloat, RoundsToTheNearestWithTiesToEven) {
  for (const DType dtype : kTypes) {
    std::map<float, int> codes;  // non-negative values in order
    for (int code = 0; code < codes_of(dtype); ++code) {
      const float value = small_float_values(dtype)[static_cast<size_t>(code)];
      if (value >= 0 && !std::signbit(value) && !std::isinf(value)) codes[value] = code;
    }
    for (auto low = codes.begin(), high = std::next(low); high != codes.end(); ++low, ++high) {
      const float middle = (low->first + high->first) / 2;  // exact in float32
      EXPECT_EQ(rounded(dtype, std::nextafter(middle, 0.0f)), low->first) << name_of(dtype);
      EXPECT_EQ(rounded(dtype, std::nextafter(middle, kInfinity)), high->first) << name_of(dtype);
      EXPECT_EQ(rounded(dtype, middle), low->second % 2 == 0 ? low->first : high->first) << name_of(dtype);
      EXPECT_EQ(rounded(dtype, -middle), -rounded(dtype, middle)) << name_of(dtype);
    }
  }
}

TEST(SmallFloat, LargestAndSmallest) {
  const std::map<DType, std::pair<float, float>> expected = {{DType::kFloat8E4M3FN, {448, 0x1p-9f}},
                                                             {DType::kFloat8E4M3FNUZ, {240, 0x1p-10f}},
                                                             {DType::kFloat8E5M2, {57344, 0x1p-16f}},
                                                             {DType::kFloat8E5M2FNUZ, {57344, 0x1p-17f}},
                                                             {DType::kFloat4E2M1, {6, 0.5f}}};
  for (const auto& [dtype, ends] : expected) {
    EXPECT_EQ(small_float_values(dtype)[1], ends.second) << name_of(dtype);
    EXPECT_EQ(rounded(dtype, 1e30f), ends.first) << name_of(dtype);
    EXPECT_EQ(rounded(dtype, -1e30f), -ends.first) << name_of(dtype);
    const float beyond = rounded(dtype, -1e30f, false);
    if (dtype == DType::kFloat8E5M2) {
      EXPECT_EQ(beyond, -kInfinity);
    } else {
      EXPECT_EQ(std::isnan(beyond), dtype != DType::kFloat4E2M1) << name_of(dtype);
    }
  }
}

TEST(SmallFloat, InfinityNanAndNegativeZero) {
  EXPECT_EQ(rounded(DType::kFloat8E4M3FN, kInfinity), 448);
  EXPECT_EQ(rounded(DType::kFloat8E5M2, -kInfinity), -57344);
  EXPECT_EQ(rounded(DType::kFloat8E4M3FNUZ, kInfinity), 240);
  EXPECT_TRUE(std::isnan(rounded(DType::kFloat8E5M2FNUZ, -kInfinity, false)));
  EXPECT_EQ(rounded(DType::kFloat8E5M2, kInfinity, false), kInfinity);
  EXPECT_TRUE(std::isnan(rounded(DType::kFloat8E4M3FN, kInfinity, false)));
  EXPECT_EQ(small_float_code(DType::kFloat8E4M3FNUZ, std::nanf("")), 0x80);
  EXPECT_EQ(small_float_code(DType::kFloat8E4M3FNUZ, -0.0f), 0);
  EXPECT_EQ(small_float_code(DType::kFloat8E4M3FNUZ, -1e-9f), 0);
  EXPECT_EQ(small_float_code(DType::kFloat8E4M3FN, -0.0f), 0x80);
  EXPECT_EQ(rounded(DType::kFloat4E2M1, kInfinity), 6);
}

TEST(SmallFloat, TensorsConvert) {
  const Tensor x = Tensor::of<double>({3}, {1.3, -900, 0.0625});
  const Tensor small = x.cast(DType::kFloat8E4M3FN);
  EXPECT_EQ(small.to_doubles(), (std::vector<double>{1.25, -448, 0.0625}));
  EXPECT_EQ(small.cast(DType::kInt32).to_int64s(), (std::vector<int64_t>{1, -448, 0}));
  EXPECT_EQ(small.cast(DType::kFloat4E2M1).to_doubles(), (std::vector<double>{1, -6, 0}));
}

}  // namespace
}  // namespace amct

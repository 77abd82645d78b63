// ARQ weight scales against AMCT's own numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "passes/quantize/arq.h"
#include "support/golden.h"

namespace amct::testing {
namespace {

// (in, out / group, spatial) of group G as (out, in / group, spatial), the form that graphs have.
Tensor output_channels_first(const Tensor& weights, int64_t groups) {
  const Dims& from = weights.dims();
  const int64_t in = from[0] / groups, out = from[1], spatial = from[2] * from[3];
  Tensor result = Tensor::allocate(DType::kFloat32, {groups * out, in, from[2], from[3]});
  const auto source = weights.values<float>();
  const auto to = result.mutable_values<float>();
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t k = 0; k < spatial; ++k) {
          to[((g * out + o) * in + i) * spatial + k] = source[((g * in + i) * out + o) * spatial + k];
        }
      }
    }
  }
  return result;
}

Tensor transposed(const Tensor& matrix) {
  const int64_t rows = matrix.dims()[0], columns = matrix.dims()[1];
  Tensor result = Tensor::allocate(DType::kFloat32, {columns, rows});
  for (int64_t i = 0; i < rows * columns; ++i) {
    result.mutable_values<float>()[i % columns * rows + i / columns] = matrix.values<float>()[i];
  }
  return result;
}

class GoldenArqTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenArqTest, AgreesWithAmct) {
  AMCT_NEEDS_ASSETS();
  const Golden golden(GetParam());
  int cases = 0, weights_compared = 0, halves = 0;
  for (const std::string& name : golden.cases()) {
    SCOPED_TRACE(name);
    const auto& parameters = golden.parameters(name);
    if (parameters.contains("py_error") && !parameters["py_error"].is_null()) {
      EXPECT_THROW(arq_scales(golden.array(name, "w").cast(DType::kFloat32), 0, true, 8, name), Error);
      continue;
    }
    const int bits = parameters["num_bits"];
    const bool per_channel = parameters["channel_wise"];
    Tensor weights = golden.array(name, "w").cast(DType::kFloat32);
    if (name.starts_with("deconv")) weights = output_channels_first(weights, parameters["group"]);
    const std::vector<float> expected = golden.floats(name, "scale");
    std::vector<float> scales = arq_scales(weights, 0, per_channel, bits, name);
    ASSERT_EQ(scales.size(), expected.size());
    for (size_t i = 0; i < scales.size(); ++i) EXPECT_NEAR(scales[i] / expected[i], 1, 1e-6) << i;
    if (weights.rank() == 2) {
      EXPECT_EQ(arq_scales(transposed(weights), 1, per_channel, bits, name), scales);
    }
    ++cases;
    if (!golden.has(name, "w_int")) continue;
    const auto integers = golden.floats(name, "w_int");
    const auto values = weights.values<float>();
    for (size_t i = 0; i < integers.size(); ++i) {
      const float steps = values[i] / scales[scales.size() == 1 ? 0 : i / (integers.size() / scales.size())];
      const float half = std::ldexp(1.0f, bits - 1);
      if (std::abs(steps - std::floor(steps) - 0.5f) < 1e-6f) {
        ++halves;
      } else {
        EXPECT_EQ(std::clamp(std::nearbyint(steps), -half, half - 1), integers[i]) << i;
      }
      ++weights_compared;
    }
  }
  EXPECT_GT(cases, 60);
  std::printf("%s: %d cases, %d integer weights equal, %d exact halves left out\n", GetParam(), cases,
              weights_compared - halves, halves);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenArqTest, ::testing::Values("arq_a", "arq_b"));

}  // namespace
}  // namespace amct::testing

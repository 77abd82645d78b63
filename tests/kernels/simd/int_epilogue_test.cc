// Epilogues of integer layers, on every instruction set, against the same operations one at a time.
#include "kernels/simd/int_epilogue.h"

#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace amct {
namespace {

using Kind = IntStage::Kind;

class IntEpilogueTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  // One element by plain arithmetic; volatile keeps every step in float32.
  static double expected(const std::vector<IntStage>& stages, int32_t sum, int64_t channel,
                         const std::vector<double>& operands) {
    volatile float v = static_cast<float>(sum);
    size_t operand = 0;
    for (const IntStage& s : stages) {
      switch (s.kind) {
        case Kind::kScale: v = v * s.scales[s.scales.size() == 1 ? 0 : static_cast<size_t>(channel)]; break;
        case Kind::kClip: v = std::min(std::max(float{v}, s.low), s.high); break;
        case Kind::kAdd: v = v + static_cast<float>(operands[operand++]); break;
        case Kind::kQuantize:
          v = s.divides ? v / s.scale : v * s.scale;
          v = std::nearbyint(v);
          v = v + s.zero;
          v = std::min(std::max(float{v}, s.low), s.high);
          break;
        case Kind::kDequantize:
          v = v - s.zero;
          v = v * s.scale;
          break;
        case Kind::kAddQuantized: {
          volatile float b = static_cast<float>(operands[operand++]) - s.zero;
          b = b * s.scale;
          v = v + b;
          break;
        }
      }
    }
    return v;
  }

  template <typename T>
  void check(const std::vector<IntStage>& stages, DType result) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    constexpr int64_t kFirst = 16;
    for (const int64_t count : {1, 7, 16, 24, 37, 64, 130}) {
      const int64_t channels = kFirst + count + 3;
      constexpr int64_t kRows = 3, kFirstRow = 2;
      std::vector<IntStage> scaled = stages;
      if (scaled[0].scales.size() > 1) {
        scaled[0].scales.resize(static_cast<size_t>(channels));
        for (float& s : scaled[0].scales) s = std::uniform_real_distribution<float>(1e-4f, 3e-3f)(random);
      }
      const int64_t ld = (count + 15) / 16 * 16;
      std::vector<int32_t> sums(static_cast<size_t>(kRows * ld));
      for (int32_t& sum : sums) sum = std::uniform_int_distribution<int32_t>(-150000, 150000)(random);
      const auto places = static_cast<size_t>((kRows + kFirstRow) * channels);
      std::vector<float> floats(places);
      std::vector<int8_t> bytes(places);
      for (float& v : floats) v = std::normal_distribution<float>(0, 50)(random);
      for (int8_t& v : bytes) v = static_cast<int8_t>(std::uniform_int_distribution<int>(-128, 127)(random));
      const T untouched = 99;
      std::vector<T> y(places, untouched);
      IntEpilogue::Rows rows{y.data(), {}};
      size_t operand = 0;
      for (const IntStage& s : scaled) {
        if (s.kind == Kind::kAdd) rows.operands[operand++] = floats.data();
        if (s.kind == Kind::kAddQuantized) rows.operands[operand++] = bytes.data();
      }
      IntEpilogue(scaled, channels, result).apply(sums.data(), ld, kFirstRow, kRows, kFirst, count, rows);
      for (size_t i = 0; i < places; ++i) {
        const int64_t row = static_cast<int64_t>(i) / channels - kFirstRow;
        const int64_t channel = static_cast<int64_t>(i) % channels;
        if (row < 0 || channel < kFirst || channel >= kFirst + count) {
          ASSERT_EQ(y[i], untouched) << i;
          continue;
        }
        std::vector<double> operands;
        for (const IntStage& s : scaled) {
          if (s.kind == Kind::kAdd) operands.push_back(floats[i]);
          if (s.kind == Kind::kAddQuantized) {
            operands.push_back(s.operand_is_signed ? bytes[i] : static_cast<uint8_t>(bytes[i]));
          }
        }
        ASSERT_EQ(static_cast<double>(y[i]),
                  expected(scaled, sums[static_cast<size_t>(row * ld + channel - kFirst)], channel, operands))
            << "row " << row << ", channel " << channel << " of " << channels;
      }
    }
  }
};

IntStage scale_per_channel() { return {.kind = Kind::kScale, .scales = {1, 1}}; }
IntStage relu() { return {.kind = Kind::kClip, .low = 0, .high = INFINITY}; }
IntStage quantize(float low, float high, bool divides) {
  return {.kind = Kind::kQuantize,
          .low = low,
          .high = high,
          .scale = divides ? 1.7f : 0.59f,
          .zero = -11,
          .divides = divides};
}

TEST_P(IntEpilogueTest, Dequantizes) {
  check<float>({scale_per_channel()}, DType::kFloat32);
  check<float>({{.kind = Kind::kScale, .scales = {0.0123f}}, {.kind = Kind::kAdd}, relu()}, DType::kFloat32);
}

TEST_P(IntEpilogueTest, Requantizes) {
  check<int8_t>({scale_per_channel(), quantize(-128, 127, false)}, DType::kInt8);
  check<int8_t>({scale_per_channel(), relu(), quantize(-128, 127, false)}, DType::kInt8);
  check<uint8_t>({scale_per_channel(), relu(), quantize(0, 255, true)}, DType::kUInt8);
  check<int16_t>({scale_per_channel(), {.kind = Kind::kAdd}, quantize(-32768, 32767, false)}, DType::kInt16);
}

TEST_P(IntEpilogueTest, AddsQuantizedOperands) {
  for (const bool is_signed : {false, true}) {
    check<uint8_t>({{.kind = Kind::kScale, .scales = {0.003f}},
                    quantize(-128, 127, false),
                    {.kind = Kind::kDequantize, .scale = 1.3f, .zero = -11},
                    {.kind = Kind::kAddQuantized, .scale = 0.7f, .zero = 5, .operand_is_signed = is_signed},
                    quantize(0, 255, true)},
                   DType::kUInt8);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, IntEpilogueTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

}  // namespace
}  // namespace amct

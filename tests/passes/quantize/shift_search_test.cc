// Against AMCT's kernels (golden) and a loop that follows the formula number by number.
#include "passes/quantize/shift_search.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "passes/quantize/integer_constants.h"
#include "support/golden.h"
#include "support/values.h"

namespace amct::testing {
namespace {

TensorView view_of(const float* data, Dims dims) {
  TensorView view;
  view.data = data;
  view.dtype = DType::kFloat32;
  view.dims = std::move(dims);
  return view;
}

double reference_error(const std::vector<int32_t>& sums, int shift) {
  double error = 0;
  for (const int32_t sum : sums) {
    const double power = std::ldexp(1.0, shift);
    const double kept = std::min(32767.0, std::max(-32768.0, std::floor(sum / power)));
    error += (kept * power - sum) * (kept * power - sum);
  }
  return error;
}

class GoldenSearchN : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenSearchN, OverBatches) {
  AMCT_NEEDS_ASSETS();
  const Golden golden(GetParam());
  for (const std::string& name : golden.cases("v2.")) {
    const Tensor& out = golden.array(name, "out");
    const std::vector<float> expected = golden.floats(name, "err");
    const std::vector<int64_t> best = golden.array(name, "best_n").to_int64s();
    const int64_t channels = out.dims()[1];
    ShiftErrors counted(golden.floats(name, "deq_scale"));
    for (int64_t batch = 0; batch < out.dims()[0]; ++batch) {
      const int64_t size = channels * out.dims()[2];
      counted.add(view_of(out.values<float>().data() + batch * size, {1, channels, out.dims()[2]}), 1);
    }
    std::vector<ShiftErrors::Errors> errors = counted.errors();
    if (golden.parameters(name).at("broadcast").get<bool>()) {  // one N for all channels
      for (size_t c = 1; c < errors.size(); ++c) {
        for (size_t n = 0; n < errors[c].size(); ++n) errors[0][n] += errors[c][n];
      }
      errors.resize(1);
    }
    ASSERT_EQ(errors.size() * 16, expected.size()) << name;
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto ours = static_cast<double>(errors[i / 16][i % 16]);
      EXPECT_NEAR(ours, expected[i], 1e-4 * expected[i] + 1) << name << " N " << i % 16 + 1;
    }
    for (size_t c = 0; c < best.size(); ++c) {
      const auto& list = errors[errors.size() == 1 ? 0 : c];
      EXPECT_EQ(std::ranges::min_element(list) - list.begin() + 1, best[c]) << name << " channel " << c;
    }
  }
}

// Of sums as they are. The kernel of that time divided towards zero; on these sums both ways lead to the same N.
TEST_P(GoldenSearchN, OfSums) {
  AMCT_NEEDS_ASSETS();
  const Golden golden(GetParam());
  for (const std::string& name : golden.cases("v1.")) {
    const Tensor& sums = golden.array(name, "acc");
    const std::vector<int64_t> best = golden.array(name, "best_n").to_int64s();
    const auto columns = static_cast<size_t>(sums.dims()[1]);
    for (size_t c = 0; c < best.size(); ++c) {
      const auto row = sums.values<int32_t>().subspan(c * columns, columns);
      ShiftErrors::Errors errors{};
      add_shift_errors(row, errors);
      const int least = static_cast<int>(std::ranges::min_element(errors) - errors.begin()) + 1;
      EXPECT_EQ(least, best[c]) << name << " channel " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Assets, GoldenSearchN, ::testing::Values("searchn_a", "searchn_b"),
                         [](const auto& param) { return std::string(param.param); });

TEST(ShiftSearch, ErrorsAreThoseOfTheFormula) {
  std::mt19937 random(11);
  for (const double range : {3e2, 4e4, 5e6, 2e9}) {
    std::uniform_real_distribution<double> values(-range, range);
    std::vector<int32_t> sums(5003);
    for (int32_t& sum : sums) sum = static_cast<int32_t>(values(random));
    sums.back() = INT32_MIN;
    sums.front() = INT32_MAX;
    ShiftErrors::Errors errors{};
    add_shift_errors(sums, errors);
    for (int shift = 1; shift <= 16; ++shift) {
      const double expected = reference_error(sums, shift);
      EXPECT_NEAR(static_cast<double>(errors[static_cast<size_t>(shift - 1)]), expected, 1e-12 * expected) << range;
    }
  }
}

TEST(ShiftSearch, LayoutsAndWorkersDoNotMatter) {
  std::mt19937 random(12);
  constexpr int64_t kChannels = 3, kPixels = 35;
  const std::vector<float> first = normal_values(2 * kChannels * kPixels, random, 0, 300);
  std::vector<float> last(first.size());
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t c = 0; c < kChannels; ++c) {
      for (int64_t p = 0; p < kPixels; ++p) {
        last[static_cast<size_t>((n * kPixels + p) * kChannels + c)] =
            first[static_cast<size_t>((n * kChannels + c) * kPixels + p)];
      }
    }
  }
  const std::vector<float> scales{0.01f, 1.0f, 0.0003f};
  ShiftErrors whole(scales), channels_last(scales), a(scales), b(scales);
  whole.add(view_of(first.data(), {2, kChannels, 5, 7}), 1);
  channels_last.add(view_of(last.data(), {2, 5, 7, kChannels}), 3);
  a.add(view_of(first.data() + kChannels * kPixels, {1, kChannels, 5, 7}), 1);
  b.add(view_of(first.data(), {1, kChannels, 5, 7}), 1);
  a.merge(b);
  EXPECT_EQ(whole.errors(), channels_last.errors());
  EXPECT_EQ(whole.errors(), a.errors());
  EXPECT_EQ(whole.best().size(), 3);
}

TEST(ShiftSearch, ZerosTakeTheSmallestShift) {
  const std::vector<float> zeros(7, 0.0f);
  ShiftErrors errors({0.5f});
  errors.add(view_of(zeros.data(), {7}), 0);
  EXPECT_EQ(errors.best(), std::vector<int>{1});
}

TEST(ShiftSearch, ChannelsHoldTheRangeOfTheirLayer) {
  const std::vector<float> values{100, -100, 0.5f, 0.25f, 3e6f, 0};
  ShiftErrors errors({1.0f, 1.0f, 1.0f});
  errors.add(view_of(values.data(), {1, 3, 2}), 1);
  EXPECT_EQ(errors.best()[1], 1);
  EXPECT_EQ(errors.safe(), (std::vector<int>{7, 7, 7}));  // 3e6 / 2^7 < 32768
  ShiftErrors other({1.0f, 1.0f, 1.0f});
  other.merge(errors);
  EXPECT_EQ(other.safe(), errors.safe());
}

TEST(DequantParameters, HoldTheShift) {
  const std::vector<float> scales{1.0f, 2.0f};
  const std::vector<int> shifts{3, 16};
  const Tensor packed = dequant_parameters(scales, shifts);
  EXPECT_EQ(packed.values<uint64_t>()[0], uint64_t{3} << 40 | 0x3f800000u);
  EXPECT_EQ(packed.values<uint64_t>()[1], uint64_t{16} << 40 | 0x40000000u);
}

}  // namespace
}  // namespace amct::testing

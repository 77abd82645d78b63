#include "passes/quantize/clip_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/error.h"
#include "exec/histogram.h"
#include "passes/quantize/clip_loss.h"
#include "support/values.h"

namespace amct::testing {
namespace {

using Method = ClipSearch::Method;
constexpr Method kAll[] = {Method::kIfmr, Method::kMinMax, Method::kPercentile, Method::kMse, Method::kKl};

std::vector<float> draw(unsigned seed, size_t count, float shift, float low, float high) {
  std::mt19937 random(seed);
  std::vector<float> x = normal_values(count, random, shift, 2);
  for (float& v : x) v = std::clamp(v, low, high);
  return x;
}

Distribution of(const std::vector<float>& x) {
  Histogram histogram(64);
  histogram.add(x);
  return histogram.finish();
}

ActivationPlan plan_of(Method method, bool asymmetric = true, int bits = 8) {
  ActivationPlan plan;
  plan.search.method = method;
  plan.asymmetric = asymmetric;
  plan.bits = bits;
  return plan;
}

// Error of the integer grid on the values themselves.
double error_of(const std::vector<float>& x, const ScaleOffset& factor, int bits) {
  const double low = -std::ldexp(1.0, bits - 1), high = -low - 1;
  double sum = 0;
  for (const float v : x) {
    const double q = std::clamp(std::nearbyint(static_cast<double>(v) / factor.scale) + factor.offset, low, high);
    const double error = (q - factor.offset) * factor.scale - v;
    sum += error * error;
  }
  return sum / static_cast<double>(x.size());
}

TEST(ClipSearchTest, MinMaxFollowsTheFormulas) {
  const auto factor = [](std::vector<float> x, bool asymmetric, int bits = 8) {
    return choose_factor(of(x), plan_of(Method::kMinMax, asymmetric, bits)).factor;
  };
  EXPECT_EQ(factor({-1, 0.5f}, true), (ScaleOffset{1.5f / 255, 42}));
  EXPECT_EQ(factor({-1, 0.5f}, false), (ScaleOffset{1.0f / 128, 0}));
  EXPECT_EQ(factor({-1.25f, 1.25f}, false), (ScaleOffset{1.25f / 127, 0}));  // a tie counts as positive
  EXPECT_EQ(factor({3, 5}, true), (ScaleOffset{5.0f / 255, -128}));
  EXPECT_EQ(factor({-3, -5}, true), (ScaleOffset{5.0f / 255, 127}));
  EXPECT_EQ(factor({-3, -5}, false, 4), (ScaleOffset{5.0f / 8, 0}));
  EXPECT_EQ(factor({0, 6}, true, 16), (ScaleOffset{6.0f / 65535, -32768}));
}

TEST(ClipSearchTest, ZeroActivationsGetScaleOneAndAWarning) {
  for (const Method method : kAll) {
    const FactorChoice choice = choose_factor(of({0, 0, 0}), plan_of(method));
    EXPECT_EQ(choice.factor, (ScaleOffset{1, -128}));
    EXPECT_EQ(choice.warning, "it is zero in all samples");
    EXPECT_EQ(choose_factor(of({0, 0}), plan_of(method, false)).factor, (ScaleOffset{1, 0}));
    EXPECT_EQ(choose_factor(of({1e-12f, 0}), plan_of(method)).factor, (ScaleOffset{1, -128}));
    EXPECT_EQ(choose_factor(Distribution{}, plan_of(method)).warning, "no values were seen");
  }
}

TEST(ClipSearchTest, StaysWithinLimits) {
  for (const Method method : kAll) {
    for (const int bits : {4, 8, 16}) {
      for (const RangeLimits limits : {RangeLimits{0, 6}, RangeLimits{-1, 1}, RangeLimits{-0.3f, 2.7f}}) {
        SCOPED_TRACE(static_cast<int>(method));
        const std::vector<float> x = draw(5, 20000, 1, limits.low, limits.high);
        const ScaleOffset factor = choose_factor(of(x), plan_of(method, true, bits), limits).factor;
        const float bottom = -std::ldexp(1.0f, bits - 1), top = -bottom - 1;
        EXPECT_LE((top - factor.offset) * factor.scale, limits.high);
        EXPECT_GE((bottom - factor.offset) * factor.scale, limits.low);
        const double whole = (std::min(limits.high, 6.0f) - limits.low) / (2.0 * top + 1);
        EXPECT_GT(factor.scale, method == Method::kMse || bits == 4 ? 0.4 * whole : 0.65 * whole);
      }
      // Values beyond the limit, as in front of the Clip.
      const ScaleOffset factor = choose_factor(of(draw(6, 5000, 3, 0, 20)), plan_of(method, true, bits), {0, 6}).factor;
      EXPECT_LE((std::ldexp(1.0f, bits - 1) - 1 - factor.offset) * factor.scale, 6.0f);
    }
  }
}

TEST(ClipSearchTest, PercentileCutsTails) {
  std::vector<float> x(10000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 2000;
  ActivationPlan plan = plan_of(Method::kPercentile);
  plan.search.max_percentile = 0.99;
  plan.search.min_percentile = 0.9;
  const ClipRange range = percentile_range(of(x), plan.search, {});
  EXPECT_NEAR(range.high, 7900, 4);
  EXPECT_NEAR(range.low, -1001, 4);
  EXPECT_NEAR(choose_factor(of(x), plan).factor.scale, (7900 + 1001) / 255.0, 0.05);
}

TEST(ClipSearchTest, MseBeatsEveryOtherRange) {
  for (const bool asymmetric : {true, false}) {
    for (const int bits : {4, 8}) {
      std::vector<float> x = draw(8, 20000, 0.5f, -9, 9);
      for (float& v : x) v = v > 0 ? v * v : v;  // a long tail on one side
      const double ours = error_of(x, choose_factor(of(x), plan_of(Method::kMse, asymmetric, bits)).factor, bits);
      double best = ours;
      const auto [low, high] = std::minmax_element(x.begin(), x.end());
      for (double a = 0.2; a <= 1; a += 0.05) {
        for (double b = 0.1; b <= 1; b += 0.05) {
          const ClipRange range = {static_cast<float>(a * *low), static_cast<float>(b * *high)};
          best = std::min(best, error_of(x, factor_of_range(range, bits, asymmetric), bits));
        }
      }
      EXPECT_LE(ours, 1.01 * best) << asymmetric << bits;
    }
  }
}

TEST(ClipSearchTest, KlCutsOutliersAndKeepsFullRanges) {
  std::vector<float> tail = draw(9, 50000, 1, -8, 8);
  tail[7] = 100;
  const auto range_of = [](const ScaleOffset& f) { return 255.0 * f.scale; };
  EXPECT_LT(range_of(choose_factor(of(tail), plan_of(Method::kKl)).factor), 60);
  std::mt19937 random(2);
  const std::vector<float> flat = uniform_values(50000, random, -1, 2);
  EXPECT_GT(range_of(choose_factor(of(flat), plan_of(Method::kKl)).factor), 2.7);
}

TEST(ClipSearchTest, RefusesFaultyParameters) {
  const auto refuses = [](auto change) {
    ActivationPlan plan;
    change(plan);
    EXPECT_EQ(check_search(plan).size(), 1u);
    EXPECT_THROW(choose_factor(of({1, 2}), plan), Error);
  };
  refuses([](ActivationPlan& p) { p.bits = 5; });
  refuses([](ActivationPlan& p) { p.search.max_percentile = 0.5; });
  refuses([](ActivationPlan& p) { p.search.min_percentile = 1.01; });
  refuses([](ActivationPlan& p) { p.search.search_start = 0; });
  refuses([](ActivationPlan& p) { p.search.search_end = 0.6; });
  refuses([](ActivationPlan& p) { p.search.search_step = 0; });
  refuses([](ActivationPlan& p) { p.search.search_step = 0.7; });
  refuses([](ActivationPlan& p) { p.search.search_step = 1e-9; });
  refuses([](ActivationPlan& p) { p.search.search_step = std::nan(""); });
  EXPECT_TRUE(check_search({}).empty());
}

// The closed form against many points of each segment.
TEST(ClipLossTest, EqualsNumericIntegration) {
  std::mt19937 random(12);
  std::uniform_real_distribution<double> unit(0, 1);
  for (int round = 0; round < 20; ++round) {
    Distribution d;
    double x = -3 * unit(random);
    while (x < 4) {
      const double width = unit(random) < 0.3 ? 0 : 0.5 * unit(random) * unit(random);
      d.segments.push_back({x, x + width, 1 + std::floor(100 * unit(random))});
      d.count += static_cast<uint64_t>(d.segments.back().weight);
      x += width + (unit(random) < 0.5 ? 0 : 0.01) + (width == 0 ? 0.01 : 0);
    }
    const double step = 0.02 + 0.3 * unit(random), low = -2 * unit(random), high = 3 * unit(random);
    double expected = 0;
    for (const Segment& s : d.segments) {
      constexpr int kPoints = 20000;
      for (int i = 0; i < kPoints; ++i) {
        const double v = s.low + (s.high - s.low) * (i + 0.5) / kPoints;
        const double e = std::nearbyint(std::clamp(v, low, high) / step) * step - v;
        expected += s.weight / kPoints * e * e;
      }
    }
    expected /= static_cast<double>(d.count);
    EXPECT_NEAR(ClipLoss(d, 0.02)(step, low, high) / expected, 1, 1e-5) << round;
    EXPECT_NEAR(ClipLoss(d, 1e-9)(step, low, high) / expected, 1, 1e-5) << round;
  }
}

}  // namespace
}  // namespace amct::testing

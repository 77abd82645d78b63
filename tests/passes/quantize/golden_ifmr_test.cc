// IFMR against AMCT's own numbers, twice: on the samples themselves (the reference below, which is the algorithm of the
// specification without any histogram) and on the streaming histogram.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "exec/histogram.h"
#include "passes/quantize/clip_search.h"
#include "support/golden.h"

namespace amct {
namespace {

struct Reference {
  std::vector<double> losses;
  std::vector<float> scales;
  int best = -1;
  ScaleOffset factor;
};

Reference ifmr_on_samples(std::vector<float> x, const ActivationPlan& plan) {
  const ClipSearch& search = plan.search;
  const size_t n = x.size();
  const auto rank = [&](double percentile) {
    if (std::abs(1 - percentile) < 1e-7) return size_t{1};
    return n - static_cast<size_t>(std::floor(percentile * static_cast<double>(n)));
  };
  std::sort(x.begin(), x.end());
  const float high = std::max(0.0f, x[n - rank(search.max_percentile)]);
  const float low = std::min(0.0f, x[rank(search.min_percentile) - 1]);
  const float half = std::ldexp(1.0f, plan.bits - 1);
  Reference result;
  const int candidates = static_cast<int>(std::ceil((search.search_end - search.search_start) / search.search_step));
  for (int i = 0; i < candidates; ++i) {
    const double ratio = search.search_start + i * search.search_step;
    const double clip = ratio * (plan.asymmetric ? high : std::max(high, -low));
    const double scale = plan.asymmetric ? (clip - low) / (2 * half - 1) : clip / (high < -low ? half : half - 1);
    const auto s = static_cast<float>(scale);
    double sum = 0;
    for (const float v : x) {
      const double clipped = std::clamp<double>(v, plan.asymmetric ? low : -clip, clip);
      const double error = s == 0 ? v : std::nearbyint(clipped / s) * s - v;
      sum += error * error;
    }
    result.scales.push_back(s);
    result.losses.push_back(sum / static_cast<double>(n));
  }
  result.best = static_cast<int>(std::min_element(result.losses.begin(), result.losses.end()) - result.losses.begin());
  result.factor.scale = result.scales[result.best];
  if (result.factor.scale < std::numeric_limits<float>::epsilon()) {
    result.factor = {1, plan.asymmetric ? static_cast<int>(-half) : 0};
  } else if (plan.asymmetric) {
    result.factor.offset = static_cast<int>(-std::nearbyint(low / result.factor.scale) - half);
  }
  return result;
}

ActivationPlan plan_of(const nlohmann::ordered_json& parameters) {
  ActivationPlan plan;
  plan.bits = parameters.value("num_bits", 8);
  plan.asymmetric = parameters.value("with_offset", true);
  plan.search.max_percentile = parameters.value("max_percentile", 0.999999);
  plan.search.min_percentile = parameters.value("min_percentile", 0.999999);
  plan.search.search_start = parameters.value("search_start", 0.7);
  plan.search.search_end = parameters.value("search_end", 1.3);
  plan.search.search_step = parameters.value("search_step", 0.01);
  return plan;
}

std::vector<float> samples_of(const testing::Golden& golden, const std::string& name) {
  if (!golden.has(name, "x0")) return golden.floats(name, "x");
  std::vector<float> all;
  for (int batch = 0; golden.has(name, fmt::format("x{}", batch)); ++batch) {
    const auto part = golden.floats(name, fmt::format("x{}", batch));
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

bool close(const ScaleOffset& a, const ScaleOffset& b, double tolerance) {
  return a.offset == b.offset && std::abs(a.scale / b.scale - 1) <= tolerance;
}

struct Tally {
  int cases = 0, same = 0, equal_loss = 0;
};

// `chosen` is either AMCT's factor or that of a candidate whose loss is within 1e-4 of the least.
void judge(const ScaleOffset& chosen, const Reference& reference, const ScaleOffset& expected, double tolerance,
           Tally& tally) {
  ++tally.cases;
  if (close(chosen, expected, tolerance)) {
    ++tally.same;
    return;
  }
  const double least = reference.losses[reference.best];
  for (size_t i = 0; i < reference.scales.size(); ++i) {
    if (std::abs(chosen.scale / reference.scales[i] - 1) < 1e-5 && reference.losses[i] <= least * (1 + 1e-4)) {
      ++tally.equal_loss;
      return;
    }
  }
  ADD_FAILURE() << "scale " << chosen.scale << " offset " << chosen.offset << ", expected " << expected.scale << " "
                << expected.offset;
}

ScaleOffset on_histogram(const std::vector<float>& x, const ActivationPlan& plan) {
  Histogram histogram(
      Histogram::tail_capacity(std::min(plan.search.max_percentile, plan.search.min_percentile), x.size()));
  histogram.add(x);
  return choose_factor(histogram.finish(), plan).factor;
}

class GoldenIfmrTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenIfmrTest, AgreesWithAmct) {
  AMCT_NEEDS_ASSETS();
  const testing::Golden golden(GetParam());
  Tally samples, streaming;
  for (const std::string& name : golden.cases()) {
    SCOPED_TRACE(name);
    const auto& parameters = golden.parameters(name);
    const ActivationPlan plan = plan_of(parameters);
    if (parameters.contains("py_error") && !parameters["py_error"].is_null()) {
      EXPECT_THROW(on_histogram(samples_of(golden, name), plan), Error);
      continue;
    }
    const Tensor scales = golden.array(name, "scale"), offsets = golden.array(name, "offset");
    const int64_t channels = scales.size();
    const std::vector<float> all = samples_of(golden, name);
    for (int64_t channel = 0; channel < channels; ++channel) {  // of the last axis, where there are several
      std::vector<float> x;
      for (size_t i = channel; i < all.size(); i += channels) x.push_back(all[i]);
      const ScaleOffset expected = {scales.values<float>()[channel], offsets.values<int32_t>()[channel]};
      const Reference reference = ifmr_on_samples(x, plan);
      judge(reference.factor, reference, expected, 1e-5, samples);
      judge(on_histogram(x, plan), reference, expected, 0.005, streaming);
      if (!golden.has(name, "losses") || channels > 1) continue;
      const auto losses = golden.floats(name, "losses");
      ASSERT_EQ(losses.size(), reference.losses.size());
      for (size_t i = 0; i < losses.size(); ++i) {
        // AMCT computes each error in float32, whose rounding is relative to the value. It floors scales before the
        // search.
        const double ulp = reference.scales[i] * std::ldexp(1.0, plan.bits) * std::numeric_limits<float>::epsilon();
        if (reference.scales[i] < std::numeric_limits<float>::epsilon()) continue;
        EXPECT_NEAR(losses[i], reference.losses[i], 1e-3 * losses[i] + 2 * std::sqrt(losses[i]) * ulp + ulp * ulp) << i;
      }
    }
  }
  EXPECT_GT(samples.cases, 60);
  std::printf("%s: %d cases; on samples %d same, %d of equal loss; on the histogram %d same, %d of equal loss\n",
              GetParam(), samples.cases, samples.same, samples.equal_loss, streaming.same, streaming.equal_loss);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenIfmrTest, ::testing::Values("ifmr_a", "ifmr_b"));

// Too many values to be kept exactly: the log-linear histogram itself against the samples.
TEST(IfmrTest, HistogramAgreesWithSamples) {
  for (const unsigned seed : {1u, 3u, 5u, 6u}) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.3f, 1.0f);
    std::vector<float> x(60000);
    for (float& v : x) v = seed % 3 == 0 ? std::clamp(3 * normal(random), 0.0f, 6.0f) : std::exp(normal(random)) - 0.5f;
    if (seed > 4) std::fill(x.begin(), x.begin() + 4000, 4.321f);  // a constant channel inside the range
    for (const bool asymmetric : {true, false}) {
      for (const int bits : {4, 8}) {
        ActivationPlan plan;
        plan.asymmetric = asymmetric;
        plan.bits = bits;
        const Reference reference = ifmr_on_samples(x, plan);
        Histogram histogram(Histogram::tail_capacity(0.999999, x.size()));
        histogram.add(x);
        const FactorChoice choice = choose_factor(histogram.finish(), plan);
        EXPECT_LE(reference.losses[choice.candidate], 1.002 * reference.losses[reference.best]);
        EXPECT_NEAR(choice.loss / reference.losses[choice.candidate], 1, 0.03);
      }
    }
  }
}

}  // namespace
}  // namespace amct

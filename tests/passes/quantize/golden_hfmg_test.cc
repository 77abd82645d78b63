// HFMG against AMCT's own histograms and factors: on the batches in their order, and on the mergeable histogram.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "exec/histogram.h"
#include "passes/quantize/hfmg.h"
#include "support/golden.h"

namespace amct {
namespace {

std::vector<std::vector<float>> batches_of(const testing::Golden& golden, const std::string& name) {
  std::vector<std::vector<float>> batches;
  const std::string owner = golden.parameters(name).value("x_of", name);
  while (golden.has(owner, fmt::format("x{}", batches.size()))) {
    batches.push_back(golden.floats(owner, fmt::format("x{}", batches.size())));
  }
  return batches;
}

struct Tally {
  int cases = 0, same = 0, close = 0;
};

// The quantized grids [low end, high end] agree within `tolerance` of the range.
void judge(const FactorChoice& choice, ScaleOffset expected, int bits, double tolerance, Tally& tally) {
  ++tally.cases;
  const double levels = std::ldexp(1.0, bits);
  const double end = std::abs(choice.factor.scale - expected.scale) * levels;
  const double shift = std::abs(choice.factor.scale * choice.factor.offset - expected.scale * expected.offset);
  if (std::abs(choice.factor.scale / expected.scale - 1) < 1e-5 && choice.factor.offset == expected.offset) {
    ++tally.same;
  } else if (end <= tolerance * levels * expected.scale && shift <= tolerance * levels * expected.scale) {
    ++tally.close;
  } else {
    ADD_FAILURE() << "scale " << choice.factor.scale << " offset " << choice.factor.offset << ", expected "
                  << expected.scale << " " << expected.offset;
  }
}

class GoldenHfmgTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenHfmgTest, AgreesWithAmct) {
  AMCT_NEEDS_ASSETS();
  const testing::Golden golden(GetParam());
  Tally ordered, streaming;
  for (const std::string& name : golden.cases()) {
    SCOPED_TRACE(name);
    const auto& parameters = golden.parameters(name);
    if (parameters.contains("py_error") && !parameters["py_error"].is_null()) continue;
    const int bins = parameters.at("num_of_bins"), bits = parameters.at("num_bits");
    const bool asymmetric = parameters.at("with_offset");
    EqualBins histogram;
    Histogram mergeable(4096);
    int64_t count = 0;
    for (const auto& batch : batches_of(golden, name)) {
      histogram.add(batch, bins);
      mergeable.add(batch);
      count += static_cast<int64_t>(batch.size());
    }
    ASSERT_FALSE(histogram.counts.empty());
    // AMCT's two codes differ on ranges too narrow for bins; here all goes into the middle, as its C++ kernel does.
    if (golden.has(name, "hist") && (histogram.width() > 1e-7 || histogram.width() == 0)) {
      const auto& expected = golden.array(name, "hist");
      const auto expected_counts = expected.to_int64s();
      int64_t difference = 0;
      for (size_t i = 0; i < expected_counts.size(); ++i) {
        difference += std::abs(expected_counts[i] - histogram.counts[i]);
      }
      EXPECT_LE(difference, count / 50 + 2);
    }
    const ScaleOffset expected{golden.floats(name, "scale")[0],
                               static_cast<int32_t>(golden.array(name, "offset").to_int64s()[0])};
    judge(search_equal_bins(histogram, bits, asymmetric), expected, bits, 0.01, ordered);
    judge(search_equal_bins(equal_bins_of(mergeable.finish(), bins), bits, asymmetric), expected, bits, 0.05,
          streaming);
  }
  EXPECT_GT(ordered.cases, 50);
  EXPECT_LE(ordered.close, 2);
  EXPECT_LE(streaming.close, 2);
  std::printf("%s: %d cases; in order %d same, %d close; mergeable %d same, %d close\n", GetParam(), ordered.cases,
              ordered.same, ordered.close, streaming.same, streaming.close);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenHfmgTest, ::testing::Values("hfmg_a", "hfmg_b"));

}  // namespace
}  // namespace amct

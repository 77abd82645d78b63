#include "exec/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "exec/observer.h"
#include "exec/value_kinds.h"
#include "support/memory.h"

namespace amct::testing {
namespace {

class HistogramTest : public ::testing::TestWithParam<Kind> {};

// Every figure that is promised to be exact, and every segment, against the sorted values.
TEST_P(HistogramTest, AgreesWithSortedValues) {
  constexpr size_t kTail = 32;
  for (const size_t count : {1, 17, 1500, 5003, 200001}) {
    SCOPED_TRACE(count);
    std::vector<float> x = draw(GetParam(), count, 7 + static_cast<unsigned>(count));
    const Distribution d = of(x, kTail).finish();
    std::sort(x.begin(), x.end());
    EXPECT_EQ(d.count, count);
    EXPECT_EQ(d.zeros, static_cast<uint64_t>(std::count(x.begin(), x.end(), 0.0f)));
    EXPECT_EQ(d.min, x.front());
    EXPECT_EQ(d.max, x.back());
    for (size_t k = 1; k <= std::min(kTail, count); ++k) {
      EXPECT_EQ(d.kth_largest(k), std::max(0.0f, x[count - k])) << k;
      EXPECT_EQ(d.kth_smallest(k), std::min(0.0f, x[k - 1])) << k;
    }
    double total = 0;
    double previous = -std::numeric_limits<double>::infinity();
    for (const Segment& s : d.segments) {
      ASSERT_LE(s.low, s.high);
      ASSERT_GE(s.low, previous);
      previous = s.high;
      total += s.weight;
    }
    EXPECT_EQ(total, static_cast<double>(count));
    // Between segments the cumulative count is exact, except for values on an edge.
    double below = 0;
    for (const Segment& s : d.segments) {
      const auto first = std::lower_bound(x.begin(), x.end(), static_cast<float>(s.low)) - x.begin();
      const auto last = std::upper_bound(x.begin(), x.end(), static_cast<float>(s.high)) - x.begin();
      ASSERT_LE(static_cast<double>(first), below + 0.5);
      below += s.weight;
      ASSERT_GE(static_cast<double>(last), below - 0.5);
    }
  }
}

TEST_P(HistogramTest, KeepsRepeatedExtremesAsAtoms) {
  std::vector<float> x = draw(GetParam(), 100000, 3);
  const Distribution d = of(x).finish();
  const auto top = static_cast<double>(std::count(x.begin(), x.end(), d.max));
  const auto bottom = static_cast<double>(std::count(x.begin(), x.end(), d.min));
  if (d.max > 0) {
    EXPECT_EQ(d.segments.back(), (Segment{d.max, d.max, top}));
  }
  if (d.min < 0) {
    EXPECT_EQ(d.segments.front(), (Segment{d.min, d.min, bottom}));
  }
}

TEST_P(HistogramTest, DependsOnTheValuesAlone) {
  std::vector<float> x = draw(GetParam(), 60000, 11);
  std::mt19937 random(5);
  for (size_t i = 0; i < 3000; ++i) x[i] = static_cast<float>(i % 7);  // few values at first: starts as exact counts
  const Distribution whole = of(x).finish();
  for (int round = 0; round < 6; ++round) {
    std::shuffle(x.begin(), x.end(), random);
    std::vector<Histogram> parts;
    for (int p = 0; p < 5; ++p) parts.emplace_back(32);
    size_t at = 0;
    while (at < x.size()) {  // random batches to random workers, one of them left almost empty
      const size_t batch = std::min<size_t>(x.size() - at, 1 + random() % 4000);
      parts[at < 10 ? 4 : random() % 4].add(std::span(x).subspan(at, batch));
      at += batch;
    }
    std::shuffle(parts.begin(), parts.end(), random);
    if (round % 2 == 0) {
      for (size_t p = 1; p < parts.size(); ++p) parts[0].merge(parts[p]);
    } else {  // as a tree
      parts[1].merge(parts[2]);
      parts[3].merge(parts[4]);
      parts[3].merge(parts[1]);
      parts[0].merge(parts[3]);
    }
    ASSERT_EQ(parts[0].finish(), whole) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HistogramTest,
                         ::testing::Values(Kind::kNormal, Kind::kRelu, Kind::kRelu6, Kind::kClipBoth, Kind::kNegative,
                                           Kind::kTiny, Kind::kWide));

TEST(HistogramTest, CountsFewValuesExactly) {
  std::vector<float> x;
  std::map<float, double> expected;
  std::mt19937 random(9);
  const float mean[3] = {0.485f, 0.456f, 0.406f};
  const float deviation[3] = {0.229f, 0.224f, 0.225f};
  for (size_t i = 0; i < 200000; ++i) {  // an image of 256 levels, three normalisations
    const float v = (static_cast<float>(random() % 256) / 255 - mean[i % 3]) / deviation[i % 3];
    x.push_back(v);
    ++expected[v];
  }
  const Distribution d = of(x).finish();
  EXPECT_TRUE(d.exact);
  ASSERT_EQ(d.segments.size(), expected.size());
  size_t i = 0;
  for (const auto& [value, count] : expected) EXPECT_EQ(d.segments[i++], (Segment{value, value, count}));
}

TEST(HistogramTest, NegativeZeroIsZero) {
  const Distribution d = of({-0.0f, 0.0f, -0.0f, 1.0f}).finish();
  EXPECT_EQ(d.zeros, 3u);
  EXPECT_EQ(d.segments.size(), 2u);
}

TEST(HistogramTest, EmptyIsEmpty) {
  const Distribution d = Histogram().finish();
  EXPECT_EQ(d.count, 0u);
  EXPECT_TRUE(d.segments.empty());
  EXPECT_EQ(d.kth_largest(1), 0.0f);
}

TEST(HistogramTest, RefusesNanAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {inf, -inf, nan, -nan, std::bit_cast<float>(0xffffffffu), std::bit_cast<float>(0x7fa00000u)}) {
    EXPECT_THROW(of({1.0f, bad, 2.0f}).finish(), Error);
    std::vector<float> many = draw(Kind::kNormal, 10000, 1);
    many[8888] = bad;
    EXPECT_THROW(of(many).finish(), Error);
    many[8888] = 0;
    many[10] = bad;
    EXPECT_THROW(of(many).finish(), Error);
  }
}

TEST(HistogramTest, PercentileBeyondTheTailIsInterpolated) {
  std::vector<float> x = draw(Kind::kNormal, 500000, 4);
  const Distribution d = of(x, 16).finish();
  std::sort(x.begin(), x.end(), std::greater<>());
  for (const size_t k : {17, 100, 5000, 100000}) {
    EXPECT_NEAR(d.kth_largest(k) / x[k - 1], 1.0, 1.0 / 256) << k;
  }
}

// Counters of 32 bits move to 64-bit totals before they could overflow, wherever the counts come from.
TEST(HistogramTest, CountsBeyond32Bits) {
  constexpr uint64_t kMany = 3000000000u;
  const auto counts = [](const LinearHistogram& h, float value) {
    const bool negative = value < 0;
    const double magnitude = std::abs(value);
    if (std::bit_cast<uint32_t>(std::abs(value)) == h.largest(negative)) return h.largest_count(negative);
    uint64_t result = 0;
    h.for_each(negative, [&](double inner, double outer, uint64_t count) {
      if (negative ? inner < magnitude && magnitude <= outer : inner <= magnitude && magnitude < outer) result = count;
    });
    return result;
  };
  LinearHistogram a(4), b(4);
  for (int i = 0; i < 3; ++i) {
    a.add(1.0f, kMany);
    a.add(-2.5f, kMany);
    b.add(2.0f, kMany);
    a.add(std::vector<float>{1.0f, 0.5f, -3.0f});
  }
  b.add(std::vector<float>{1.0f, 7.0f, 0.0f});
  for (const bool swap : {false, true}) {
    LinearHistogram merged(4);
    merged.merge(swap ? b : a);
    merged.merge(swap ? a : b);
    merged.settle();
    EXPECT_EQ(counts(merged, 1.0f), 3 * kMany + 4);
    EXPECT_EQ(counts(merged, 2.0f), 3 * kMany);
    EXPECT_EQ(counts(merged, 7.0f), 1u);
    EXPECT_EQ(counts(merged, -2.5f), 3 * kMany);
    EXPECT_EQ(counts(merged, -3.0f), 3u);
    EXPECT_EQ(counts(merged, 0.5f), 3u);
    EXPECT_EQ(merged.zeros(), 1u);
  }
}

TEST(HistogramTest, StaysSmall) {
  constexpr size_t kMany = 200;
  std::vector<Histogram> histograms(kMany);
  const std::vector<float> values = draw(Kind::kNormal, 50000, 1);
  const size_t bytes = memory_taken([&] {
    for (Histogram& each : histograms) each.add(values);
  });
  EXPECT_GT(bytes, 0u);
  EXPECT_LE(bytes / kMany, size_t{80} << 10);  // two signs of 32 kB, and their tails
}

TEST(ObserverTest, ConvertsOtherTypes) {
  const std::vector<float> x = {1.5f, -2.0f, 0.0f, 3.0f, 3.0f};
  const Tensor floats = Tensor::of<float>({5}, x);
  Observer expected;
  expected.observe(floats.view());
  for (const DType dtype : {DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    const Tensor cast = floats.cast(dtype);
    Observer observer;
    observer.observe(cast.view());
    EXPECT_EQ(observer.finish(), expected.finish()) << name_of(dtype);
  }
  Observer bytes;
  std::vector<int8_t> many(3000);
  std::iota(many.begin(), many.end(), 0);
  bytes.observe(Tensor::of<int8_t>({30, 100}, many).view());
  EXPECT_EQ(bytes.finish().segments.size(), 256u);
  EXPECT_EQ(bytes.finish().min, -128.0f);
}

}  // namespace
}  // namespace amct::testing

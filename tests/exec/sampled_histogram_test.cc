// Statistics of which a part of the values is counted: what is promised to be exact against the sorted values, the rest
// within the error that sampling has; the same bits in any order.
#include "exec/sampled_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "exec/observer.h"
#include "exec/value_kinds.h"

namespace amct::testing {
namespace {

// Every fourth block of 16 is chosen; the outlier of kOutlierAboveTheClip is not.
std::vector<float> chosen_of(std::span<const float> x) {
  std::vector<float> chosen;
  for (size_t i = 0; i < x.size(); i += 64) {
    chosen.insert(chosen.end(), x.begin() + static_cast<ptrdiff_t>(i),
                  x.begin() + static_cast<ptrdiff_t>(std::min(i + 16, x.size())));
  }
  return chosen;
}

void add(SampledHistogram& histogram, std::span<const float> x) {
  histogram.add_all(x);
  histogram.add_chosen(chosen_of(x));
}

constexpr size_t kTail = 32;

class SampledHistogramTest : public ::testing::TestWithParam<Kind> {};

TEST_P(SampledHistogramTest, KeepsExactWhatMustBe) {
  for (const size_t count : {70, 3000, 5003, 400001}) {
    SCOPED_TRACE(count);
    std::vector<float> x = draw(GetParam(), count, 7 + static_cast<unsigned>(count));
    SampledHistogram histogram(kTail);
    add(histogram, x);
    const Distribution d = histogram.finish();
    std::sort(x.begin(), x.end());
    EXPECT_EQ(d.count, count);
    EXPECT_EQ(d.zeros, static_cast<uint64_t>(std::count(x.begin(), x.end(), 0.0f)));
    EXPECT_EQ(d.min, x.front());
    EXPECT_EQ(d.max, x.back());
    for (size_t k = 1; k <= kTail; ++k) {
      EXPECT_EQ(d.kth_largest(k), std::max(0.0f, x[count - k])) << k;
      EXPECT_EQ(d.kth_smallest(k), std::min(0.0f, x[k - 1])) << k;
    }
    // Values up to the end of a segment, which an atom includes.
    const auto up_to = [&](const Segment& s) {
      const auto end = static_cast<float>(s.high);
      return (s.low < s.high ? std::lower_bound(x.begin(), x.end(), end) : std::upper_bound(x.begin(), x.end(), end)) -
             x.begin();
    };
    double total = 0, previous = -std::numeric_limits<double>::infinity();
    const double allowed = 4 * std::sqrt(static_cast<double>(count)) + 8;  // of a count below, from every fourth value
    for (const Segment& s : d.segments) {
      ASSERT_LE(s.low, s.high);
      ASSERT_GE(s.low, previous);
      ASSERT_GT(s.weight, 0);
      previous = s.high;
      total += s.weight;
      ASSERT_NEAR(total, static_cast<double>(up_to(s)), allowed) << s.high;
    }
    EXPECT_NEAR(total, static_cast<double>(count), 1e-6 * static_cast<double>(count));
    if (count > 3000 && d.max > 0) {
      const auto top = static_cast<double>(std::count(x.begin(), x.end(), d.max));
      EXPECT_EQ(d.segments.back(), (Segment{d.max, d.max, top}));
    }
  }
}

// The mass at a clip below an outlier is no part of the tail, which has room for a few of its values only.
TEST(SampledHistogram, KnowsTheMassAtAClipBelowAnOutlier) {
  const std::vector<float> x = draw(Kind::kOutlierAboveTheClip, 400000, 3);
  SampledHistogram histogram(kTail);
  add(histogram, x);
  double at_clip = 0;
  for (const Segment& s : histogram.finish().segments) {
    if (s.low > 5.99 && s.high <= 6) at_clip += s.weight;
  }
  const auto expected = static_cast<double>(std::count_if(x.begin(), x.end(), [](float v) { return v > 5.99f; }));
  EXPECT_NEAR(at_clip / expected, 1, 0.02);
}

TEST_P(SampledHistogramTest, DependsOnTheValuesAlone) {
  std::vector<std::vector<float>> samples;
  for (unsigned i = 0; i < 12; ++i) samples.push_back(draw(GetParam(), 1000 + 700 * i, i));
  samples[3].assign(5000, 0.25f);
  SampledHistogram whole(kTail);
  for (const auto& sample : samples) add(whole, sample);
  std::mt19937 random(5);
  for (int round = 0; round < 6; ++round) {
    std::shuffle(samples.begin(), samples.end(), random);
    std::vector<SampledHistogram> parts;
    for (int p = 0; p < 3; ++p) parts.emplace_back(kTail);
    for (const auto& sample : samples) {
      SampledHistogram& part = parts[random() % 3];
      const size_t half = sample.size() / 128 * 64;  // in two pieces
      const std::span<const float> all(sample);
      add(part, all.first(half));
      add(part, all.subspan(half));
    }
    parts[1].merge(parts[2]);
    parts[0].merge(parts[1]);
    ASSERT_EQ(parts[0].finish(), whole.finish()) << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SampledHistogramTest,
                         ::testing::Values(Kind::kNormal, Kind::kRelu, Kind::kRelu6, Kind::kOutlierAboveTheClip,
                                           Kind::kClipBoth, Kind::kNegative, Kind::kPositive));

TEST(SampledHistogram, KeepsFewValuesApart) {
  std::mt19937 random(2);
  std::vector<float> x(100000);
  for (float& v : x) v = static_cast<float>(static_cast<int>(random() % 256) - 100) / 255;
  SampledHistogram sampled(kTail);
  add(sampled, x);
  Histogram all(kTail);
  all.add(x);
  const Distribution d = sampled.finish(), expected = all.finish();
  ASSERT_EQ(d.segments.size(), expected.segments.size());
  for (size_t i = 0; i < d.segments.size(); ++i) {
    EXPECT_EQ(d.segments[i].low, expected.segments[i].low);
    EXPECT_EQ(d.segments[i].high, expected.segments[i].high);
    EXPECT_NEAR(d.segments[i].weight / expected.segments[i].weight, 1, 0.5) << i;
  }
  EXPECT_EQ(d.zeros, expected.zeros);
  EXPECT_EQ(d.segments.front(), expected.segments.front());
  EXPECT_EQ(d.segments.back(), expected.segments.back());
}

TEST(SampledHistogram, CountsAllWhereNothingChosenShowsTheRest) {
  std::vector<float> x = draw(Kind::kNormal, 20000, 1);
  SampledHistogram histogram(kTail);
  histogram.add_all(x);
  histogram.add_chosen(std::vector<float>(100, 0.0f));
  double total = 0;
  for (const Segment& s : histogram.finish().segments) total += s.weight;
  EXPECT_NEAR(total, 20000, 1e-6);
}

TEST(SampledHistogram, RefusesNanAndInfinity) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const size_t at : {size_t{20}, size_t{70}, size_t{9990}}) {  // where it is chosen and where it is not
      std::vector<float> x = draw(Kind::kNormal, 10000, 1);
      x[at] = bad;
      SampledHistogram histogram(kTail);
      add(histogram, x);
      EXPECT_THROW(histogram.finish(), Error);
    }
  }
}

Tensor random_image(Dims dims, unsigned seed) {
  Tensor tensor = Tensor::allocate(DType::kFloat32, std::move(dims));
  const std::vector<float> x = draw(Kind::kNormal, static_cast<size_t>(tensor.size()), seed);
  std::copy(x.begin(), x.end(), tensor.mutable_values<float>().begin());
  return tensor;
}

// A batch is its samples one by one, whatever share of the rows is counted.
TEST(SampledObserver, DoesNotDependOnTheBatch) {
  for (const int64_t every : {1, 4, 16}) {
    const Tensor batch = random_image({3, 37, 41, 19}, 4);
    Observer together(kTail, every), apart(kTail, every);
    ChannelSums sums_together, sums_apart;
    together.observe(batch.view(), &sums_together);
    for (int64_t sample : {2, 0, 1}) {
      TensorView one{DType::kFloat32, {1, 37, 41, 19}, nullptr};
      one.data = reinterpret_cast<const std::byte*>(batch.values<float>().data() + sample * 37 * 41 * 19);
      apart.observe(one, &sums_apart);
    }
    EXPECT_EQ(together.finish(), apart.finish()) << every;
    EXPECT_EQ(sums_together.means(), sums_apart.means()) << every;
  }
}

// Channels whose level differs much: every channel and every column has its part in what is counted.
TEST(SampledObserver, CountsAllChannelsAndColumnsAlike) {
  Tensor image = Tensor::allocate(DType::kFloat32, {1, 48, 64, 32});
  std::mt19937 random(8);
  std::uniform_real_distribution<float> noise(0, 1);
  auto values = image.mutable_values<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i % 32) + static_cast<float>(i / 32 % 64) / 64 + noise(random) / 64;
  }
  Observer observer(kTail, 8);
  ChannelSums sums;
  observer.observe(image.view(), &sums);
  std::vector<double> weights(32, 0);
  for (const Segment& s : observer.finish().segments) weights[static_cast<size_t>((s.low + s.high) / 2)] += s.weight;
  for (const double weight : weights) EXPECT_NEAR(weight, 48 * 64, 0.03 * 48 * 64);
  const std::vector<double> means = sums.means();
  for (size_t c = 0; c < 32; ++c) EXPECT_NEAR(means[c], static_cast<double>(c) + 0.5, 0.01);
}

TEST(SampledObserver, LeavesTensorsOfFewValuesWhole) {
  EXPECT_EQ(Observer::every_for(0), 1);
  EXPECT_EQ(Observer::every_for(Observer::kEnoughValues), 1);
  EXPECT_GT(Observer::every_for(4 * Observer::kEnoughValues), 1);
  EXPECT_LE(Observer::every_for(uint64_t{1} << 60), Observer::kMostEvery);
}

}  // namespace
}  // namespace amct::testing

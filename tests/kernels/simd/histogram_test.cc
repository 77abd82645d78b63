// The linear histogram against a reference that counts every value in a map and computes from it, at the end, what the
// histogram must be: small tails, repeated values and magnitudes over many octaves, so that its range grows often.
#include "kernels/simd/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/values.h"

namespace amct::testing {
namespace {

using Counts = std::map<float, uint64_t>;

// Everything that is promised, in a form that compares.
struct Content {
  uint64_t zeros = 0;
  double width = 0;
  uint32_t least = 0xffffffffu;
  struct Side {
    uint32_t largest = 0;
    uint64_t largest_count = 0;
    std::vector<uint32_t> tail;
    std::map<double, uint64_t> buckets;  // by inner edge
    bool operator==(const Side&) const = default;
  } sides[2];
};

Content content_of(LinearHistogram& histogram) {
  histogram.settle();
  Content content{histogram.zeros(), histogram.width(), histogram.least_pattern(), {}};
  for (const bool negative : {false, true}) {
    Content::Side& side = content.sides[negative];
    side = {histogram.largest(negative), histogram.largest_count(negative), histogram.tail(negative).sorted(), {}};
    histogram.for_each(negative, [&](double inner, double outer, uint64_t count) {
      EXPECT_EQ(outer, inner + content.width);
      side.buckets[inner] = count;
    });
  }
  return content;
}

// From the definition.
Content reference(const Counts& counts, size_t capacity) {
  Content content;
  uint32_t least_of_tails = 0;
  for (const bool negative : {false, true}) {
    Content::Side& side = content.sides[negative];
    const auto add = [&](float value, uint64_t count) {
      if (value == 0 || (value < 0) != negative) return;
      const auto magnitude = std::bit_cast<uint32_t>(std::abs(value));
      if (side.largest == 0) side.largest = magnitude, side.largest_count = count;
      for (uint64_t i = 0; i < count && side.tail.size() < capacity; ++i) side.tail.push_back(magnitude);
    };
    if (negative) {
      for (const auto& [value, count] : counts) add(value, count);
    } else {
      for (auto at = counts.rbegin(); at != counts.rend(); ++at) add(at->first, at->second);
    }
    if (side.tail.size() == capacity) least_of_tails = std::max(least_of_tails, side.tail.back());
  }
  const int exponent = std::max(-100, static_cast<int>(least_of_tails >> 23) - 126);
  content.width = std::ldexp(1.0, exponent - 13);
  for (const auto& [value, count] : counts) {
    if (count == 0) continue;
    if (value == 0) content.zeros += count;
    Content::Side& side = content.sides[value < 0];
    const double magnitude = std::abs(value);
    if (value == 0 || std::bit_cast<uint32_t>(std::abs(value)) == side.largest) continue;
    if (magnitude >= std::ldexp(1.0, exponent)) continue;
    const double steps = magnitude / content.width;
    side.buckets[(value < 0 ? std::ceil(steps) - 1 : std::floor(steps)) * content.width] += count;
  }
  return content;
}

void expect_same(const Content& actual, const Content& expected) {
  EXPECT_EQ(actual.zeros, expected.zeros);
  EXPECT_EQ(actual.width, expected.width);
  EXPECT_EQ(actual.least, expected.least);
  for (const int side : {0, 1}) {
    EXPECT_EQ(actual.sides[side].largest, expected.sides[side].largest);
    EXPECT_EQ(actual.sides[side].largest_count, expected.sides[side].largest_count);
    EXPECT_EQ(actual.sides[side].tail, expected.sides[side].tail);
    EXPECT_EQ(actual.sides[side].buckets, expected.sides[side].buckets);
  }
}

// What values look like: continuous or few, one-sided, clipped, growing with time.
std::function<float(std::mt19937&, size_t)> kind(unsigned which) {
  const auto normal = [](std::mt19937& random) { return std::normal_distribution<float>(0, 2)(random); };
  switch (which) {
    case 0: return [=](std::mt19937& random, size_t) { return normal(random); };
    case 1: return [=](std::mt19937& random, size_t) { return std::max(0.0f, normal(random)); };
    case 2: return [=](std::mt19937& random, size_t) { return std::clamp(normal(random), -0.5f, 1.25f); };
    case 3: return [=](std::mt19937& random, size_t) { return std::round(2 * normal(random)); };
    case 4: return [=](std::mt19937& random, size_t) { return std::exp(9 * normal(random)); };
    case 5: return [=](std::mt19937& random, size_t) { return -std::exp2(std::round(9 * normal(random))); };
    case 6: return [=](std::mt19937& random, size_t i) { return normal(random) * static_cast<float>(i * i); };
    case 7: return [=](std::mt19937& random, size_t) { return normal(random) * 1e-41f; };
    default: return [=](std::mt19937& random, size_t) { return normal(random) * 1e37f; };
  }
}

class LinearHistogramTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(LinearHistogramTest, IsWhatItsValuesDefine) {
  for (unsigned seed = 0; seed < 24; ++seed) {
    std::mt19937 random(seed);
    const auto draw = kind(GetParam());
    const size_t capacity = std::vector<size_t>{1, 3, 16, 700}[random() % 4];
    SCOPED_TRACE(::testing::Message() << "seed " << seed << " capacity " << capacity);
    std::vector<LinearHistogram> parts;
    for (int i = 0; i < 3; ++i) parts.emplace_back(capacity);
    Counts counts;
    size_t drawn = 0;
    uint32_t least = 0xffffffffu;
    for (int step = 0; step < 12; ++step) {
      LinearHistogram& part = parts[random() % parts.size()];
      std::vector<float> block(1 + random() % (step % 3 == 0 ? 5000 : 40));
      for (float& value : block) value = draw(random, ++drawn);
      if (random() % 3 == 0) {
        const uint64_t count = 1 + random() % 1000;
        part.add(block[0], count);
        counts[block[0] + 0.0f] += count;
      }
      part.add(block);
      for (const float value : block) {
        ++counts[value + 0.0f];  // -0 counts as 0
        least = std::min(least, std::bit_cast<uint32_t>(value + 0.0f));
      }
    }
    parts[1].merge(parts[2]);
    parts[0].merge(parts[1]);
    Content expected = reference(counts, capacity);
    expected.least = least;
    expect_same(content_of(parts[0]), expected);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, LinearHistogramTest, ::testing::Range(0u, 9u));

// An outlier coarsens no bucket.
TEST(LinearHistogramTest, LeavesOutliersOutOfItsRange) {
  std::mt19937 random(3);
  std::vector<float> values = normal_values(100000, random);
  LinearHistogram plain(16), spoilt(16);
  plain.add(values);
  for (size_t i = 0; i < 10; ++i) values[i * 9999] = 1e6f;
  spoilt.add(values);
  plain.settle();
  spoilt.settle();
  EXPECT_EQ(plain.width(), spoilt.width());
  EXPECT_LE(plain.width(), 4.0 / 4096);
}

}  // namespace
}  // namespace amct::testing

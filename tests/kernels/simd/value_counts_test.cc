#include "kernels/simd/value_counts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "support/memory.h"

namespace amct {
namespace {

std::map<float, uint64_t> contents(const ValueCounts& counts) {
  std::map<float, uint64_t> result;
  counts.for_each([&](float value, uint64_t count) { EXPECT_TRUE(result.emplace(value, count).second) << value; });
  return result;
}

// Batches of all sizes, so that the table grows at every fill, against a map.
TEST(ValueCounts, CountsWhileItGrows) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  for (const int distinct : {1, 3, 60, 500, 2000}) {
    ValueCounts counts;
    std::map<float, uint64_t> expected;
    for (const size_t size : {1, 7, 60, 15, 300, 1024, 1025, 5000}) {
      std::vector<float> values(size);
      for (float& value : values)
        value = 0.25f * static_cast<float>(static_cast<int>(random() % distinct) - distinct / 2);
      EXPECT_EQ(counts.add(values), size);
      for (const float value : values) ++expected[value];
      const float single = values[random() % size];
      counts.add(single, 5'000'000'000);
      expected[single] += 5'000'000'000;
    }
    EXPECT_EQ(contents(counts), expected) << distinct;
    EXPECT_FALSE(counts.overfull());
  }
}

TEST(ValueCounts, TakesAPrefixWhenThereAreTooMany) {
  std::vector<float> values(10'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  for (const size_t step : {size_t{700}, size_t{1500}, values.size()}) {
    ValueCounts counts;
    size_t taken = counts.add(std::span(values).first(5));
    EXPECT_EQ(taken, 5u);
    for (bool all = true; all && taken < values.size();) {
      const auto some = std::span(values).subspan(taken, std::min(step, values.size() - taken));
      const size_t count = counts.add(some);
      all = count == some.size();
      taken += count;
    }
    EXPECT_TRUE(counts.overfull());
    EXPECT_LT(taken, values.size());
    EXPECT_EQ(contents(counts).size(), taken);
  }
}

// The limit is met exactly, whether values come at once, which is seen ahead, or in pieces.
TEST(ValueCounts, TakesAsManyAsTheLimit) {
  for (const size_t distinct : {ValueCounts::kLimit, ValueCounts::kLimit + 1}) {
    for (const size_t step : {size_t{100}, size_t{9000}}) {
      std::vector<float> values(9000);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % distinct) - 1000;
      values.back() = -0.0f;
      ValueCounts counts;
      for (size_t i = 0; i < values.size() && !counts.overfull(); i += step) {
        counts.add(std::span(values).subspan(i, std::min(step, values.size() - i)));
      }
      EXPECT_EQ(counts.overfull(), distinct > ValueCounts::kLimit) << distinct << " in pieces of " << step;
    }
  }
}

TEST(ValueCounts, ZerosAreOneValue) {
  ValueCounts counts;
  counts.add(std::vector<float>{0.0f, -0.0f, 1.0f});
  EXPECT_EQ(contents(counts), (std::map<float, uint64_t>{{0.0f, 2}, {1.0f, 1}}));
}

TEST(ValueCounts, FewValuesTakeLittleMemory) {
  constexpr size_t kMany = 2000;
  std::vector<ValueCounts> counts(kMany);
  const std::vector<float> values(60, 1.5f);
  const size_t bytes = testing::memory_taken([&] {
    for (ValueCounts& each : counts) each.add(values);
  });
  EXPECT_GT(bytes, 0u);
  EXPECT_LE(bytes / kMany, size_t{8} << 10);
  EXPECT_TRUE(contents(ValueCounts()).empty());
}

}  // namespace
}  // namespace amct

#include "kernels/simd/value_counts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

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
    EXPECT_EQ(counts.distinct(), expected.size());
    EXPECT_FALSE(counts.overfull());
  }
}

TEST(ValueCounts, TakesAPrefixWhenThereAreTooMany) {
  std::vector<float> values(10'000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  ValueCounts counts;
  EXPECT_EQ(counts.add(std::span(values).first(5)), 5u);
  const size_t taken = 5 + counts.add(std::span(values).subspan(5));
  EXPECT_TRUE(counts.overfull());
  EXPECT_LT(taken, values.size());
  EXPECT_EQ(contents(counts).size(), taken);
  EXPECT_EQ(counts.distinct(), taken);
}

TEST(ValueCounts, ZerosAreOneValue) {
  ValueCounts counts;
  counts.add(std::vector<float>{0.0f, -0.0f, 1.0f});
  EXPECT_EQ(contents(counts), (std::map<float, uint64_t>{{0.0f, 2}, {1.0f, 1}}));
}

TEST(ValueCounts, FewValuesTakeLittleMemory) {
  ValueCounts counts;
  counts.add(std::vector<float>(60, 1.5f));
  EXPECT_LE(counts.resident_bytes(), size_t{8} << 10);
  EXPECT_TRUE(contents(ValueCounts()).empty());
}

}  // namespace
}  // namespace amct

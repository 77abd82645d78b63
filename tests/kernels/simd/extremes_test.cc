// What is kept of values that no histogram counts, against the sorted values.
#include "kernels/simd/extremes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/simd/row_sums.h"

namespace amct {
namespace {

struct Content {
  uint64_t zeros = 0;
  uint32_t least = 0xffffffffu;
  struct Side {
    uint32_t largest = 0;
    uint64_t largest_count = 0;
    std::vector<uint32_t> tail;
    bool operator==(const Side&) const = default;
  } sides[2];
  bool operator==(const Content& other) const {
    return zeros == other.zeros && least == other.least && sides[0] == other.sides[0] && sides[1] == other.sides[1];
  }
};

Content content_of(const Extremes& extremes) {
  Content content{extremes.zeros(), extremes.least_pattern(), {}};
  for (const bool negative : {false, true}) {
    content.sides[negative] = {extremes.largest(negative), extremes.largest_count(negative),
                               extremes.tail(negative).sorted()};
  }
  return content;
}

Content reference(const std::vector<float>& values, size_t capacity) {
  Content content;
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    content.least = std::min(content.least, value == 0 ? 0 : bits);
    if (value == 0) {
      ++content.zeros;
    } else {
      content.sides[bits >> 31].tail.push_back(bits & 0x7fffffffu);
    }
  }
  for (Content::Side& side : content.sides) {
    std::sort(side.tail.begin(), side.tail.end(), std::greater<>());
    if (side.tail.empty()) continue;
    side.largest = side.tail[0];
    side.largest_count = static_cast<uint64_t>(std::count(side.tail.begin(), side.tail.end(), side.largest));
    side.tail.resize(std::min(side.tail.size(), capacity));
  }
  return content;
}

std::vector<float> draw(unsigned kind, size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal(0.2f, 3.0f);
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(random);
    if (kind == 1) value = std::max(value, 0.0f);
    if (kind == 2) value = std::clamp(value, -1.0f, 2.5f);
    if (kind == 3) value = -std::abs(value) - 0.5f;
    if (kind == 4) value = std::round(value) * (value < 0 ? 0.0f : 1.0f);  // zeros of both signs
    if (kind == 5) value = std::exp(12 * value);
  }
  return values;
}

TEST(Extremes, AreThoseOfTheValuesInAnyOrder) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const size_t capacity = std::vector<size_t>{1, 2, 17, 300}[random() % 4];
    SCOPED_TRACE(testing::Message() << "seed " << seed << " capacity " << capacity);
    std::vector<float> values = draw(seed % 6, 1 + random() % 20000, random);
    std::erase_if(values, [](float value) { return !std::isfinite(value); });
    std::vector<Extremes> parts(3, Extremes(capacity));
    for (size_t at = 0; at < values.size();) {
      const size_t count = std::min<size_t>(1 + random() % 9000, values.size() - at);
      parts[random() % 3].add(std::span(values).subspan(at, count));
      at += count;
    }
    const float repeated = values[random() % values.size()];
    parts[1].add(repeated, 40);
    values.insert(values.end(), 40, repeated);
    parts[2].merge(parts[0]);
    parts[1].merge(parts[2]);
    ASSERT_EQ(content_of(parts[1]), reference(values, capacity));
  }
}

TEST(RowSums, AddEveryColumn) {
  std::mt19937 random(4);
  for (const int64_t columns : {1, 15, 16, 33, 67, 128}) {
    const int64_t rows = 7;
    const std::vector<float> values = draw(0, static_cast<size_t>(rows * columns), random);
    std::vector<float> sums(static_cast<size_t>(columns), 0.5f), expected = sums;
    add_rows(values.data(), rows, columns, sums.data());
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t c = 0; c < columns; ++c)
        expected[static_cast<size_t>(c)] += values[static_cast<size_t>(row * columns + c)];
    }
    EXPECT_EQ(sums, expected) << columns;
  }
}

}  // namespace
}  // namespace amct

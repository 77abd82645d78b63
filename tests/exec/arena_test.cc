#include "exec/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace amct {
namespace {

bool lifetimes_overlap(const ArenaBuffer& a, const ArenaBuffer& b) {
  return a.first_step <= b.last_step && b.first_step <= a.last_step;
}

TEST(Arena, SharesMemoryOfBuffersThatNeverMeet) {
  std::vector<ArenaBuffer> buffers{{1000, 0, 1}, {1000, 2, 3}, {1000, 4, 5}};
  EXPECT_EQ(plan_arena(buffers), 1024u);
}

TEST(Arena, KeepsTheLastReadAndTheFirstWriteOfOneStepApart) {
  std::vector<ArenaBuffer> buffers{{64, 0, 1}, {64, 1, 2}};
  EXPECT_EQ(plan_arena(buffers), 128u);
}

// The definition, without an index: largest first, each at the lowest place that is free during its lifetime.
std::vector<size_t> simple_offsets(const std::vector<ArenaBuffer>& buffers) {
  const auto padded = [](size_t bytes) { return (std::max<size_t>(bytes, 1) + 63) / 64 * 64; };
  std::vector<size_t> order(buffers.size()), offsets(buffers.size()), placed;
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  for (const size_t i : order) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
      moved = false;
      for (const size_t j : placed) {
        const bool meets =
            offset < offsets[j] + padded(buffers[j].bytes) && offsets[j] < offset + padded(buffers[i].bytes);
        if (!lifetimes_overlap(buffers[i], buffers[j]) || !meets) continue;
        offset = offsets[j] + padded(buffers[j].bytes);
        moved = true;
      }
    }
    offsets[i] = offset;
    placed.push_back(i);
  }
  return offsets;
}

TEST(Arena, TakesTheLowestFreePlace) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<ArenaBuffer> buffers;
    const int steps = 1 + static_cast<int>(random() % 70);
    for (int i = 0; i < 80; ++i) {
      const int first = static_cast<int>(random() % static_cast<uint32_t>(steps));
      const int length = random() % 8 == 0 ? steps : static_cast<int>(random() % 5);
      buffers.push_back({random() % 3000, first, std::min(first + length, steps)});
    }
    const std::vector<size_t> expected = simple_offsets(buffers);
    plan_arena(buffers);
    for (size_t i = 0; i < buffers.size(); ++i) EXPECT_EQ(buffers[i].offset, expected[i]) << i;
  }
}

TEST(Arena, PlansManyBuffersByTimeWithLittleWaste) {
  std::mt19937 random(5);
  std::vector<ArenaBuffer> buffers;
  const int steps = 20000;
  for (int i = 0; i < steps; ++i) {
    const int last = i % 100 == 0 ? steps : i + 1 + static_cast<int>(random() % 3);  // some are kept to the end
    buffers.push_back({1 + random() % 5000, i, last});
  }
  const size_t total = plan_arena(buffers);
  size_t most = 0;
  std::vector<size_t> alive;
  for (int step = 0; step < steps; ++step) {
    alive.push_back(static_cast<size_t>(step));
    std::erase_if(alive, [&](size_t i) { return buffers[i].last_step < step; });
    size_t bytes = 0;
    for (const size_t i : alive) bytes += (buffers[i].bytes + 63) / 64 * 64;
    most = std::max(most, bytes);
    const ArenaBuffer& fresh = buffers[static_cast<size_t>(step)];
    for (const size_t i : alive) {
      if (i == static_cast<size_t>(step)) continue;
      ASSERT_TRUE(fresh.offset + fresh.bytes <= buffers[i].offset ||
                  buffers[i].offset + buffers[i].bytes <= fresh.offset);
    }
  }
  EXPECT_LE(total, most * 5 / 4);
}

TEST(Arena, NeverOverlapsLiveBuffers) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<ArenaBuffer> buffers;
    for (int i = 0; i < 60; ++i) {
      const int first = static_cast<int>(random() % 40);
      buffers.push_back({random() % 5000, first, first + static_cast<int>(random() % 10)});
    }
    const size_t total = plan_arena(buffers);
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(buffers[i].offset % 64, 0u);
      EXPECT_LE(buffers[i].offset + buffers[i].bytes, total);
      for (size_t j = 0; j < i; ++j) {
        if (!lifetimes_overlap(buffers[i], buffers[j])) continue;
        const bool apart = buffers[i].offset + buffers[i].bytes <= buffers[j].offset ||
                           buffers[j].offset + buffers[j].bytes <= buffers[i].offset;
        EXPECT_TRUE(apart) << i << " and " << j;
      }
    }
  }
}

}  // namespace
}  // namespace amct

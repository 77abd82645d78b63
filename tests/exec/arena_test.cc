#include "exec/arena.h"

#include <gtest/gtest.h>

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

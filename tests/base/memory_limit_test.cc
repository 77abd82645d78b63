#include "base/memory_limit.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace amct {
namespace {

class MemoryLimitTest : public ::testing::Test {
 protected:
  void TearDown() override { set_memory_limit(0); }
};

TEST_F(MemoryLimitTest, SizesAreReadAndWritten) {
  EXPECT_EQ(parse_memory_size("4096"), 4096u);
  EXPECT_EQ(parse_memory_size("500M"), uint64_t{500} << 20);
  EXPECT_EQ(parse_memory_size("1.5gb"), uint64_t{3} << 29);
  EXPECT_EQ(parse_memory_size("2T"), uint64_t{2} << 40);
  for (const char* wrong : {"", "G", "-1", "0", "0.1", "1X", "1 G", "2GiB", "nan", "inf", "1e30", "9e18G", "B"}) {
    EXPECT_THROW((void)parse_memory_size(wrong), Error) << wrong;
  }
  EXPECT_EQ(memory_text(17), "17 bytes");
  EXPECT_EQ(memory_text(1536), "1.5 KB");
  EXPECT_EQ(memory_text(uint64_t{300} << 20), "300 MB");
}

TEST_F(MemoryLimitTest, RefusesWithAnEstimateAndWhatWouldFit) {
  const MemoryNeed need{.shared = 1000, .per_worker = 500, .workers = 4};
  EXPECT_EQ(need.total(), 3000u);
  EXPECT_NO_THROW(require_memory(need, "it"));
  set_memory_limit(3000);
  EXPECT_NO_THROW(require_memory(need, "it"));
  set_memory_limit(2200);
  try {
    require_memory(need, "it");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResource);
    EXPECT_EQ(std::string(error.what()),
              "it needs about 2.9 KB, 1000 bytes and 500 bytes for each of 4 workers; --max-memory allows 2.1 KB; "
              "--threads 2 would fit");
  }
  set_memory_limit(900);
  EXPECT_THROW(require_memory(need, "it"), Error);
}

TEST_F(MemoryLimitTest, NeedsBeyondAnyNumberAreRefused) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  set_memory_limit(kMost - 1);
  EXPECT_THROW(require_memory({.shared = 5, .per_worker = kMost / 2, .workers = 3}, "it"), Error);
  EXPECT_THROW(require_memory({.shared = kMost, .per_worker = 1}, "it"), Error);
}

}  // namespace
}  // namespace amct

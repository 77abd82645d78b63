#include "workflow/sample_count.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "data/sample_range.h"

namespace amct {
namespace {

TEST(SamplesToRead, TheRequestWinsOverTheConfiguration) {
  std::vector<std::string> warnings;
  EXPECT_EQ(samples_to_read({}, {}, 3, warnings), 64);
  EXPECT_EQ(samples_to_read({}, 5, 3, warnings), 15);
  EXPECT_EQ(samples_to_read(7, {}, 3, warnings), 7);
  EXPECT_EQ(samples_to_read(15, 5, 3, warnings), 15);
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(samples_to_read(7, 5, 3, warnings), 7);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("would be 15"), std::string::npos) << warnings[0];
}

TEST(SamplesToRead, CountsThatNoDataHasAreRefused) {
  constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
  std::vector<std::string> warnings;
  EXPECT_EQ(samples_to_read(kMostSamples, {}, 1, warnings), kMostSamples);
  for (const int64_t samples : {int64_t{0}, int64_t{-1}, kMostSamples + 1, kLargest}) {
    EXPECT_THROW(samples_to_read(samples, {}, 1, warnings), Error) << samples;
  }
  EXPECT_THROW(samples_to_read({}, kLargest / 2, 3, warnings), Error);  // the product overflows
  EXPECT_THROW(samples_to_read(7, kLargest, 2, warnings), Error);
  EXPECT_THROW(samples_to_read({}, 0, 3, warnings), Error);
}

}  // namespace
}  // namespace amct

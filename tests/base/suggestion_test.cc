#include "base/suggestion.h"

#include <gtest/gtest.h>

namespace amct {
namespace {

TEST(Suggestion, NamesTheClosestOrSaysSomethingElse) {
  EXPECT_EQ(suggestion("con1", {"fc", "conv1"}), "did you mean 'conv1'?");
  EXPECT_EQ(suggestion("con1", {"fc", "conv1"}, "see --help"), "did you mean 'conv1'?");
  EXPECT_EQ(suggestion("something", {"fc", "conv1"}, "see --help"), "see --help");
  EXPECT_EQ(suggestion("something", {}), "");
}

}  // namespace
}  // namespace amct

// What both statistics say of NaN and infinity, wherever it stands and however it comes.
#include "kernels/simd/known_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/simd/extremes.h"
#include "kernels/simd/histogram.h"

namespace amct {
namespace {

template <class Statistics>
class KnownValuesTest : public ::testing::Test {};

using Both = ::testing::Types<Extremes, LinearHistogram>;
TYPED_TEST_SUITE(KnownValuesTest, Both);

TYPED_TEST(KnownValuesTest, TellsWhatIsNotFinite) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::nanf(""), -std::nanf("")}) {
    for (const float others : {1.5f, -1.5f}) {
      for (const size_t place : {size_t{0}, size_t{2222}, size_t{8997}}) {
        std::vector<float> values(9000, others);
        values[place] = bad;
        TypeParam statistics(4), one(4), merged(4);
        statistics.add(values);
        one.add(bad, 3);
        merged.merge(one);
        EXPECT_FALSE(statistics.finite()) << bad << " at " << place;
        EXPECT_FALSE(one.finite()) << bad;
        EXPECT_FALSE(merged.finite()) << bad;
      }
    }
  }
}

}  // namespace
}  // namespace amct

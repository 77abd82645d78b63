#include "kernels/index/reorder_layout.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace amct {
namespace {

template <typename T>
class ReorderLayout : public testing::Test {};
using Sizes = testing::Types<uint8_t, uint16_t, uint32_t, uint64_t>;
TYPED_TEST_SUITE(ReorderLayout, Sizes);

TYPED_TEST(ReorderLayout, MovesEveryElementToItsPlaceAndBack) {
  for (const int64_t channels : {1, 3, 5, 33, 64}) {
    const LayoutExtents extents{2, channels, 135};
    const auto size = static_cast<size_t>(extents.batch * extents.channels * extents.positions);
    std::vector<TypeParam> first(size);
    std::iota(first.begin(), first.end(), TypeParam{0});
    std::vector<TypeParam> last(size);
    std::vector<TypeParam> back(size);
    channels_first_to_last(first.data(), last.data(), extents, sizeof(TypeParam));
    for (int64_t n = 0; n < extents.batch; ++n) {
      for (int64_t c = 0; c < extents.channels; ++c) {
        for (int64_t s = 0; s < extents.positions; ++s) {
          ASSERT_EQ(last[static_cast<size_t>((n * extents.positions + s) * channels + c)],
                    first[static_cast<size_t>((n * channels + c) * extents.positions + s)]);
        }
      }
    }
    channels_last_to_first(last.data(), back.data(), extents, sizeof(TypeParam));
    EXPECT_EQ(back, first);
  }
}

}  // namespace
}  // namespace amct

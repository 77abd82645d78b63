#include "base/block.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace amct {
namespace {

TEST(Block, IsAlignedAndAsLongAsAskedFor) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{4095}, (size_t{4} << 20) - 1,
                             size_t{4} << 20, (size_t{4} << 20) + 1, (size_t{7} << 20) + 4321}) {
    const Block block = allocate_block(bytes);
    ASSERT_NE(block, nullptr) << bytes;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.get()) % kBlockAlignment, 0u) << bytes;
    std::memset(block.get(), 0x5a, bytes);
    EXPECT_TRUE(bytes == 0 || block.get()[bytes - 1] == std::byte{0x5a}) << bytes;
  }
}

TEST(Block, OfMoreThanThereIsIsNone) {
  for (const size_t bytes :
       {std::numeric_limits<size_t>::max(), std::numeric_limits<size_t>::max() - 4096, size_t{1} << 62}) {
    EXPECT_EQ(allocate_block(bytes), nullptr) << bytes;
  }
}

}  // namespace
}  // namespace amct

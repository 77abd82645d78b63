// Memory for numbers: weights, packed weights, intermediates.
#pragma once

#include <cstddef>
#include <memory>

namespace amct {

struct FreeBlock {
  size_t mapped = 0;  // bytes of a block that has pages of its own
  void operator()(std::byte* data) const;
};
using Block = std::unique_ptr<std::byte, FreeBlock>;

constexpr size_t kBlockAlignment = 64;

// Memory of at least `bytes` bytes, never none, whose address is a multiple of kBlockAlignment. From 4 MB on it has
// pages of its own, so that it goes back to the system as soon as it is freed, and large ones where there are such:
// what comes and goes would spend more time on page faults than on arithmetic. Null if there is not enough memory.
Block allocate_block(size_t bytes);

}  // namespace amct

#include "base/block.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace amct {
namespace {

constexpr size_t kLargeBytes = size_t{4} << 20, kLargePage = size_t{2} << 20;

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Starts at a large page.
Block map_block(size_t bytes) {
  const size_t size = rounded_up(bytes, 4096), room = size + kLargePage;
  if (room < bytes) return nullptr;
  void* const memory = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(memory);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const size_t before = rounded_up(address, kLargePage) - address;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + size, kLargePage - before);
#ifdef MADV_HUGEPAGE
  ::madvise(begin + before, size / kLargePage * kLargePage, MADV_HUGEPAGE);  // or it stays slow
#endif
  return Block(begin + before, FreeBlock{size});
}

}  // namespace

void FreeBlock::operator()(std::byte* data) const {
  if (mapped > 0) {
    ::munmap(data, mapped);
  } else {
    std::free(data);
  }
}

Block allocate_block(size_t bytes) {
  if (bytes >= kLargeBytes) return map_block(bytes);
  return Block(static_cast<std::byte*>(std::aligned_alloc(kBlockAlignment, rounded_up(bytes + 1, kBlockAlignment))));
}

}  // namespace amct

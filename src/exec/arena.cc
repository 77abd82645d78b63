#include "exec/arena.h"

#include <algorithm>
#include <numeric>

namespace amct {
namespace {

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

size_t plan_arena(std::vector<ArenaBuffer>& buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });

  std::vector<size_t> placed;  // indices in order of offset
  size_t total = 0;
  for (const size_t index : order) {
    ArenaBuffer& buffer = buffers[index];
    const size_t bytes = aligned(std::max<size_t>(buffer.bytes, 1));
    size_t offset = 0;
    for (const size_t other_index : placed) {
      const ArenaBuffer& other = buffers[other_index];
      if (other.last_step < buffer.first_step || buffer.last_step < other.first_step) continue;
      if (other.offset >= offset + bytes) break;
      offset = std::max(offset, other.offset + aligned(std::max<size_t>(other.bytes, 1)));
    }
    buffer.offset = offset;
    total = std::max(total, offset + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                   [&](size_t value, size_t i) { return value < buffers[i].offset; }),
                  index);
  }
  return total;
}

}  // namespace amct

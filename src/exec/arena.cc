#include "exec/arena.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <queue>
#include <utility>

namespace amct {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMostBySize = 4096;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

size_t padded(const ArenaBuffer& buffer) { return aligned(std::max<size_t>(buffer.bytes, 1)); }

// Indices by descending `key`, equal ones in their order.
template <typename Key>
std::vector<size_t> order_by(const std::vector<ArenaBuffer>& buffers, Key key) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(buffers[a]) > key(buffers[b]); });
  return order;
}

// Largest first: little memory, time quadratic in the number of buffers.
size_t plan_by_size(std::vector<ArenaBuffer>& buffers) {
  std::vector<size_t> placed;  // indices in order of offset
  size_t total = 0;
  for (const size_t index : order_by(buffers, [](const ArenaBuffer& buffer) { return buffer.bytes; })) {
    ArenaBuffer& buffer = buffers[index];
    size_t offset = 0;
    for (const size_t other_index : placed) {
      const ArenaBuffer& other = buffers[other_index];
      if (other.last_step < buffer.first_step || buffer.last_step < other.first_step) continue;
      if (other.offset >= offset + padded(buffer)) break;
      offset = std::max(offset, other.offset + padded(other));
    }
    buffer.offset = offset;
    total = std::max(total, offset + padded(buffer));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                   [&](size_t value, size_t i) { return value < buffers[i].offset; }),
                  index);
  }
  return total;
}

// The free places of an arena that grows at its end.
class FreePlaces {
 public:
  size_t take(size_t bytes) {
    for (auto at = blocks_.begin(); at != blocks_.end(); ++at) {
      const auto [offset, size] = *at;
      const bool is_last = offset + size == total_;
      if (size < bytes && !is_last) continue;
      blocks_.erase(at);
      if (size > bytes) blocks_.emplace(offset + bytes, size - bytes);
      total_ = std::max(total_, offset + bytes);
      return offset;
    }
    total_ += bytes;
    return total_ - bytes;
  }

  void give_back(size_t offset, size_t bytes) {
    auto at = blocks_.emplace(offset, bytes).first;
    const auto next = std::next(at);
    if (next != blocks_.end() && offset + bytes == next->first) {
      at->second += next->second;
      blocks_.erase(next);
    }
    if (at == blocks_.begin()) return;
    const auto before = std::prev(at);
    if (before->first + before->second != offset) return;
    before->second += at->second;
    blocks_.erase(at);
  }

  size_t total() const { return total_; }

 private:
  std::map<size_t, size_t> blocks_;  // size by offset
  size_t total_ = 0;
};

// In the order of the steps: somewhat more memory, time nearly linear.
size_t plan_by_time(std::vector<ArenaBuffer>& buffers) {
  FreePlaces places;
  using Death = std::pair<int, size_t>;  // last step, index
  std::priority_queue<Death, std::vector<Death>, std::greater<>> alive;
  for (const size_t index : order_by(buffers, [](const ArenaBuffer& buffer) { return -buffer.first_step; })) {
    ArenaBuffer& buffer = buffers[index];
    for (; !alive.empty() && alive.top().first < buffer.first_step; alive.pop()) {
      const ArenaBuffer& dead = buffers[alive.top().second];
      places.give_back(dead.offset, padded(dead));
    }
    buffer.offset = places.take(padded(buffer));
    alive.emplace(buffer.last_step, index);
  }
  return places.total();
}

}  // namespace

size_t plan_arena(std::vector<ArenaBuffer>& buffers) {
  return buffers.size() <= kMostBySize ? plan_by_size(buffers) : plan_by_time(buffers);
}

}  // namespace amct

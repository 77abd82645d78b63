// A table that only grows, in blocks: elements keep their addresses, and neighbours lie side by side in memory. What a
// Graph keeps its nodes and values in: references to them outlive additions, which a vector's would not, and a graph of
// a hundred thousand nodes is gone through, and copied, block by block rather than node by node.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace amct {

template <typename T>
class Slots {
 public:
  Slots() = default;
  ~Slots() = default;
  Slots(Slots&&) noexcept = default;
  Slots& operator=(Slots&&) noexcept = default;
  Slots(const Slots& other) { *this = other; }
  Slots& operator=(const Slots& other) {
    if (this == &other) return *this;
    blocks_.clear();
    blocks_.reserve(other.blocks_.size());
    for (const std::vector<T>& block : other.blocks_) {
      add_block();
      blocks_.back().insert(blocks_.back().end(), block.begin(), block.end());
    }
    return *this;
  }

  size_t size() const { return blocks_.empty() ? 0 : (blocks_.size() - 1) * kBlock + blocks_.back().size(); }
  T& operator[](size_t index) { return blocks_[index / kBlock][index % kBlock]; }
  const T& operator[](size_t index) const { return blocks_[index / kBlock][index % kBlock]; }
  T& add() {
    if (blocks_.empty() || blocks_.back().size() == kBlock) add_block();
    return blocks_.back().emplace_back();
  }

 private:
  static constexpr size_t kBlock = 64;
  void add_block() { blocks_.emplace_back().reserve(kBlock); }
  std::vector<std::vector<T>> blocks_;  // none outgrows what it has reserved
};

}  // namespace amct

// From names to indices of slots, without a copy of the names: the caller says which name a slot has.
//
// Open addressing with linear probing; an entry holds the index and 32 bits of the hash, so that growing and copying
// look at no name. A removed entry leaves a mark, which the next growth clears away.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace amct {

class NameTable {
 public:
  static constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

  // The index whose name is `name`, or kNone. `name_of(index)` gives the name of an index in the table.
  template <typename NameOf>
  uint32_t find(std::string_view name, const NameOf& name_of) const {
    if (entries_.empty()) return kNone;
    const uint32_t hash = hash_of(name);
    for (size_t at = hash & mask();; at = (at + 1) & mask()) {
      const Entry& entry = entries_[at];
      if (entry.index == kNone) return kNone;
      if (entry.hash == hash && entry.index != kRemoved && name_of(entry.index) == name) return entry.index;
    }
  }

  // The name must not be in the table; `index` must be less than 2^32 - 2.
  void insert(std::string_view name, uint32_t index) {
    if (4 * (used_ + 1) > 3 * entries_.size()) grow();
    place({hash_of(name), index});
    ++used_;
    ++live_;
  }

  void erase(std::string_view name, uint32_t index) {
    const uint32_t hash = hash_of(name);
    for (size_t at = hash & mask(); entries_[at].index != kNone; at = (at + 1) & mask()) {
      if (entries_[at].index != index) continue;
      entries_[at].index = kRemoved;
      --live_;
      return;
    }
  }

 private:
  static constexpr uint32_t kRemoved = kNone - 1;
  struct Entry {
    uint32_t hash = 0;
    uint32_t index = kNone;
  };

  static uint32_t hash_of(std::string_view name) {
    const auto wide = static_cast<uint64_t>(std::hash<std::string_view>{}(name));
    return static_cast<uint32_t>(wide ^ (wide >> 32));
  }
  size_t mask() const { return entries_.size() - 1; }

  void place(Entry entry) {
    size_t at = entry.hash & mask();
    while (entries_[at].index != kNone) at = (at + 1) & mask();
    entries_[at] = entry;
  }

  void grow() {
    size_t size = 16;
    while (size < 2 * (live_ + 1)) size *= 2;
    const std::vector<Entry> old = std::exchange(entries_, std::vector<Entry>(size));
    for (const Entry& entry : old) {
      if (entry.index < kRemoved) place(entry);
    }
    used_ = live_;
  }

  std::vector<Entry> entries_;  // as many as a power of two
  size_t used_ = 0;             // live and removed ones
  size_t live_ = 0;
};

}  // namespace amct

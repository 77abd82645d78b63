// Exact counts of the values of a tensor that has few of them (images of 256 levels, one-hot codes, already quantized
// activations). A hash table from bit pattern to count; when it holds too many values, its owner turns it into a
// histogram. -0 counts as 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace amct {

class ValueCounts {
 public:
  static constexpr size_t kLimit = 2048;  // distinct values: images of 256 levels, eight normalisations

  // Counts values until more than kLimit distinct ones are known; returns how many values it took (a prefix). The table
  // may then hold somewhat more than kLimit, or less, if it saw what was to come; it takes no more.
  size_t add(std::span<const float> values);
  void add(float value, uint64_t count);
  bool overfull() const { return saw_many_ || distinct_ > kLimit; }

  // In unspecified order.
  void for_each(const std::function<void(float value, uint64_t count)>& visit) const;

 private:
  static constexpr int kLeastSlotBits = 6, kMostSlotBits = 13;
  static constexpr size_t kLanes = 4;  // interleaved counters: runs of a value do not wait for their store
  size_t slots() const { return keys_.size(); }
  size_t slot_of(uint32_t key) const { return (key * 0x9e3779b1u) >> (32 - slot_bits_); }
  size_t find_or_insert(uint32_t key);
  void make_room(size_t more);  // for so many further values
  void fold();

  static constexpr uint32_t kEmpty = 0x80000000u;  // the pattern of -0, which is counted as 0
  int slot_bits_ = 0;                              // the table grows with its values: most tensors have few
  std::vector<uint32_t> keys_;                     // bit patterns
  std::vector<uint32_t> counters_;                 // [slot][4]
  std::vector<uint64_t> totals_;
  uint64_t pending_ = 0;
  size_t distinct_ = 0;    // values in the table
  bool saw_many_ = false;  // more than kLimit values, which did not come into the table
};

}  // namespace amct

// The largest magnitudes among the values of one sign, kept exactly: percentiles close to 1 fall among them.
//
// Magnitudes are float32 bit patterns without the sign: ordered like the values. What is kept depends on the multiset
// of values alone, not on their order, so tails of parts merge to the tail of the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace amct {

class Tail {
 public:
  explicit Tail(size_t capacity) : capacity_(capacity) {}

  // Only magnitudes above this need to be added; never decreases.
  uint32_t threshold() const { return threshold_; }
  void add(uint32_t magnitude, uint64_t count = 1);
  void merge(const Tail& other);

  uint32_t largest() const { return largest_; }  // 0 = no value yet
  // The `capacity` largest magnitudes (fewer if there were fewer values), descending.
  std::vector<uint32_t> sorted() const;
  size_t capacity() const { return capacity_; }

 private:
  void keep(uint32_t magnitude);
  void shrink();

  size_t capacity_;
  uint32_t threshold_ = 0;
  uint32_t largest_ = 0;
  std::vector<uint32_t> kept_;  // at most twice the capacity, unordered
};

}  // namespace amct

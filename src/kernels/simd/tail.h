// The largest magnitudes among the values of one sign, kept exactly: percentiles close to 1 fall among them, and a
// clipped activation (ReLU6) has much of its mass at exactly the largest one.
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
  void add(uint32_t magnitude);
  // `count` further values of this magnitude, counted among the largest as well.
  void add(uint32_t magnitude, uint64_t count);
  void merge(const Tail& other);

  uint32_t largest() const { return largest_; }  // 0 = no value yet
  // Values equal to the largest. Whoever adds single values counts them here after each `add`.
  uint64_t largest_count() const { return largest_count_; }
  void count_largest(uint64_t count) { largest_count_ += count; }

  // The `capacity` largest magnitudes (fewer if there were fewer values), descending.
  std::vector<uint32_t> sorted() const;
  size_t capacity() const { return capacity_; }

 private:
  void keep(uint32_t magnitude);
  void shrink();

  size_t capacity_;
  uint32_t threshold_ = 0;
  uint32_t largest_ = 0;
  uint64_t largest_count_ = 0;
  std::vector<uint32_t> kept_;  // at most twice the capacity, unordered
};

}  // namespace amct

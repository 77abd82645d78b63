// The largest magnitudes among the values of one sign, kept exactly: percentiles close to 1 fall among them.
//
// Magnitudes are float32 bit patterns without the sign: ordered like the values. The `capacity` largest depend on the
// multiset of values alone, not on their order, so tails of parts merge to the tail of the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace amct {

class Tail {
 public:
  explicit Tail(size_t capacity) : capacity_(capacity) {}

  // Only magnitudes above this need to be added; never decreases.
  uint32_t threshold() const { return threshold_; }
  void add(uint32_t magnitude) { kept_.push_back(magnitude); }
  bool crowded() const { return kept_.size() >= 2 * capacity_; }  // time to `trim`

  // The `capacity`-th largest magnitude; 0 if there are fewer. Reorders what is kept.
  uint32_t least();
  // Forgets everything beyond the `capacity` largest, which raises the threshold.
  void trim();

  std::span<const uint32_t> kept() const { return kept_; }  // the largest and some more, unordered
  // The `capacity` largest magnitudes (fewer if there were fewer values), descending.
  std::vector<uint32_t> sorted() const;
  size_t capacity() const { return capacity_; }

 private:
  size_t capacity_;
  uint32_t threshold_ = 0;
  std::vector<uint32_t> kept_;  // at most twice the capacity
};

}  // namespace amct

#include "kernels/simd/tail.h"

#include <algorithm>
#include <functional>

namespace amct {

void Tail::add(uint32_t magnitude) {
  if (magnitude > largest_) {
    largest_ = magnitude;
    largest_count_ = 0;
  }
  keep(magnitude);
}

void Tail::add(uint32_t magnitude, uint64_t count) {
  if (magnitude == 0 || count == 0) return;
  if (magnitude > largest_) {
    largest_ = magnitude;
    largest_count_ = 0;
  }
  if (magnitude == largest_) largest_count_ += count;
  for (uint64_t i = 0; i < std::min<uint64_t>(count, capacity_) && magnitude > threshold_; ++i) keep(magnitude);
}

void Tail::merge(const Tail& other) {
  if (other.largest_ > largest_) {
    largest_ = other.largest_;
    largest_count_ = other.largest_count_;
  } else if (other.largest_ == largest_) {
    largest_count_ += other.largest_count_;
  }
  for (const uint32_t magnitude : other.kept_) {
    if (magnitude > threshold_) keep(magnitude);
  }
}

void Tail::keep(uint32_t magnitude) {
  kept_.push_back(magnitude);
  if (kept_.size() >= 2 * capacity_) shrink();
}

void Tail::shrink() {
  const auto last = kept_.begin() + static_cast<ptrdiff_t>(capacity_ - 1);
  std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
  threshold_ = *last;
  kept_.resize(capacity_);
}

std::vector<uint32_t> Tail::sorted() const {
  std::vector<uint32_t> result = kept_;
  std::sort(result.begin(), result.end(), std::greater<>());
  if (result.size() > capacity_) result.resize(capacity_);
  return result;
}

}  // namespace amct

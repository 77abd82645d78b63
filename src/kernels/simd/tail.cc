#include "kernels/simd/tail.h"

#include <algorithm>
#include <functional>

namespace amct {

void Tail::add(uint32_t magnitude, uint64_t count) {
  largest_ = std::max(largest_, magnitude);
  for (uint64_t i = 0; i < std::min<uint64_t>(count, capacity_) && magnitude > threshold_; ++i) keep(magnitude);
}

void Tail::merge(const Tail& other) {
  for (const uint32_t magnitude : other.kept_) add(magnitude);
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

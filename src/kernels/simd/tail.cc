#include "kernels/simd/tail.h"

#include <algorithm>
#include <functional>

namespace amct {

uint32_t Tail::least() {
  if (kept_.size() < capacity_) return 0;
  const auto last = kept_.begin() + static_cast<ptrdiff_t>(capacity_ - 1);
  std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
  return *last;
}

void Tail::trim() {
  if (kept_.size() < capacity_) return;
  threshold_ = least();
  kept_.resize(capacity_);
}

std::vector<uint32_t> Tail::sorted() const {
  std::vector<uint32_t> result = kept_;
  std::sort(result.begin(), result.end(), std::greater<>());
  if (result.size() > capacity_) result.resize(capacity_);
  return result;
}

}  // namespace amct

#include "kernels/index/mapped.h"

#include <algorithm>
#include <cstring>

#include "kernels/index/element.h"

namespace amct {
namespace {

using Offsets = std::vector<int64_t>;

// A stretch of the innermost axis that is contiguous in the source, or filled.
struct Run {
  int64_t source;
  int64_t length;
};

bool is_dense(const Offsets& offsets, int64_t step) {
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] != static_cast<int64_t>(i) * step) return false;
  }
  return true;
}

std::vector<Run> runs_of(const Offsets& offsets, int64_t block) {
  std::vector<Run> runs;
  for (const int64_t offset : offsets) {
    if (!runs.empty()) {
      Run& last = runs.back();
      const bool both_fill = offset == kFillOffset && last.source == kFillOffset;
      const bool continues = offset != kFillOffset && last.source != kFillOffset && offset == last.source + last.length;
      if (both_fill || continues) {
        last.length += block;
        continue;
      }
    }
    runs.push_back({offset, block});
  }
  return runs;
}

template <typename T>
class MappedCopy {
 public:
  MappedCopy(const std::vector<Offsets>& outer, const Offsets& inner, int64_t block, const T* fill)
      : outer_(outer), inner_(inner), runs_(runs_of(inner, block)), fill_(fill) {
    row_ = static_cast<int64_t>(inner.size()) * block;
    by_element_ = block == 1 && runs_.size() * 4 > inner.size() &&
                  std::find(inner.begin(), inner.end(), kFillOffset) == inner.end();
  }

  T* copy(size_t axis, const T* source, T* target) const {
    if (axis == outer_.size()) return copy_row(source, target);
    for (size_t i = 0; i < outer_[axis].size(); ++i) {
      const int64_t offset = outer_[axis][i];
      if (offset == kFillOffset) {
        target = std::fill_n(target, slab(axis + 1), *fill_);
      } else {
        target = copy(axis + 1, source + offset, target);
      }
    }
    return target;
  }

 private:
  int64_t slab(size_t axis) const {
    int64_t count = row_;
    for (; axis < outer_.size(); ++axis) count *= static_cast<int64_t>(outer_[axis].size());
    return count;
  }

  T* copy_row(const T* source, T* target) const {
    if (by_element_) {
      for (const int64_t offset : inner_) *target++ = source[offset];
      return target;
    }
    for (const Run& run : runs_) {
      if (run.source == kFillOffset) {
        std::fill_n(target, run.length, *fill_);
      } else {
        std::memcpy(target, source + run.source, static_cast<size_t>(run.length) * sizeof(T));
      }
      target += run.length;
    }
    return target;
  }

  const std::vector<Offsets>& outer_;
  const Offsets& inner_;
  std::vector<Run> runs_;
  const T* fill_;
  int64_t row_ = 0;
  bool by_element_ = false;
};

}  // namespace

void copy_mapped(size_t element_bytes, std::vector<std::vector<int64_t>> offsets, const void* source, const void* fill,
                 void* target) {
  for (const Offsets& axis : offsets) {
    if (axis.empty()) return;
  }
  int64_t block = 1;
  while (!offsets.empty() && is_dense(offsets.back(), block)) {
    block *= static_cast<int64_t>(offsets.back().size());
    offsets.pop_back();
  }
  Offsets inner{0};
  if (!offsets.empty()) {
    inner = std::move(offsets.back());
    offsets.pop_back();
  }
  visit_element(element_bytes, [&]<typename T>(ElementTag<T>) {
    const MappedCopy<T> copy(offsets, inner, block, static_cast<const T*>(fill));
    copy.copy(0, static_cast<const T*>(source), static_cast<T*>(target));
  });
}

}  // namespace amct

// What is known exactly (known_values.h) of values of which only some are counted into buckets: a look at each, cheaper
// than counting it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/simd/known_values.h"
#include "kernels/simd/scan_values.h"

namespace amct {

class Extremes : public KnownValues {
 public:
  explicit Extremes(size_t tail_capacity) : KnownValues(tail_capacity) {}

  void add(std::span<const float> values);
  void add(float value, uint64_t count);
  void merge(const Extremes& other);  // of equal tail capacity

 private:
  ScannedValues scan(std::span<const float> values) const;
  void raise(bool negative, uint32_t magnitude);  // a larger value has come
  void keep(bool negative, uint32_t magnitude);
};

}  // namespace amct

// Observer: one worker's view of one tensor. Converts whatever element type it is shown to float32 and counts it;
// observers of several workers merge into the statistic of the whole calibration.
#pragma once

#include <vector>

#include "exec/histogram.h"
#include "ir/tensor.h"

namespace amct {

class Observer {
 public:
  explicit Observer(size_t tail_capacity = 256) : histogram_(tail_capacity) {}

  // Counts all elements, in memory order. Floats of 64 bits and integers are rounded to float32. Throws
  // Error(kUnsupported) for element types without arithmetic.
  void observe(const TensorView& view);
  void merge(const Observer& other) { histogram_.merge(other.histogram_); }

  // Throws Error(kNumeric) if there was a NaN or an infinity; the caller adds the tensor's name.
  Distribution finish() const { return histogram_.finish(); }
  const Histogram& histogram() const { return histogram_; }

 private:
  Histogram histogram_;
};

}  // namespace amct

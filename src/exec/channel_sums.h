// Sums of a tensor's values per channel over many samples: what bias correction needs of a layer's input.
//
// Of large channels-last images only some thousand positions a sample are read, spread evenly: the means over all of
// them differ by less than one sample more or less would make, and cost a second trip through the memory.
// Each row of the batch is summed by itself, always in the same order, and enters the total as a fixed-point integer
// (2^-40), so that totals do not depend on the order of samples, the batch size or the number of workers.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/tensor.h"

namespace amct {

class ChannelSums {
 public:
  static constexpr int64_t kPositions = 1024;  // of a sample: up to twice as many are all read

  // `view` has the batch on axis 0 and channels on `channel_axis` (>= 1) of its memory extents; float32 elements only,
  // others are ignored. Values that are not finite make the means empty.
  void add(const TensorView& view, size_t channel_axis);
  void merge(const ChannelSums& other);

  // One mean per channel; empty if nothing was added.
  std::vector<double> means() const;

 private:
  std::vector<__int128> sums_;
  int64_t count_ = 0;  // values per channel
  bool finite_ = true;
};

}  // namespace amct

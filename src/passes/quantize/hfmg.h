// HFMG: a histogram of equal bins and the range in it that loses least when quantized (spec C.2).
//
// `EqualBins` follows the batches as AMCT does: the first one fixes the range, each later one widens it and moves the
// counts into the wider bins, so its result depends on the order of batches. `equal_bins_of` makes the same histogram
// from a mergeable distribution, whose result does not; it differs by what falls on either side of a bin's edge.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "passes/quantize/clip_search.h"

namespace amct {

struct EqualBins {
  double low = 0;
  double high = 0;
  std::vector<int64_t> counts;  // empty until the first batch

  double width() const { return counts.empty() ? 0 : (high - low) / static_cast<double>(counts.size()); }
  // Adds a batch of finite values. `bins` is the number of bins (the same in every call).
  void add(std::span<const float> batch, int bins);
};

EqualBins equal_bins_of(const Distribution& distribution, int bins);

// Scale, offset and loss of the best range: candidates are cut from both ends, at least 1/100000 of the values at a
// time, down to a quarter of the bins; the loss integrates the squared rounding error over all bins.
FactorChoice search_equal_bins(const EqualBins& histogram, int bits, bool asymmetric);

}  // namespace amct

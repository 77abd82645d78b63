// Distribution: what calibration knows about the values of a tensor, as clip searches read it. Values that are known
// exactly are atoms, the others lie in segments with uniform density.
#pragma once

#include <cstdint>
#include <vector>

namespace amct {

// `weight` values in [low, high], uniformly dense; low == high is an atom.
struct Segment {
  double low = 0;
  double high = 0;
  double weight = 0;
  Segment mirrored() const { return {-high, -low, weight}; }  // at zero: from magnitudes to negative values and back
  bool operator==(const Segment&) const = default;
};

struct Distribution {
  uint64_t count = 0;  // all values, zeros included
  uint64_t zeros = 0;
  float min = 0;  // exact; 0 when nothing was counted
  float max = 0;
  std::vector<Segment> segments;  // ascending, without overlap; zero is an atom among them
  bool exact = false;             // nothing but atoms

  // The k-th largest positive value (k >= 1), 0 if there are fewer; exact as long as k lies in the tail that was kept,
  // beyond that interpolated within a segment. `kth_smallest` likewise for negative values.
  float kth_largest(uint64_t k) const;
  float kth_smallest(uint64_t k) const;
  bool operator==(const Distribution&) const = default;
};

// Of `count` values: zeros, and what lies below and above zero, both ascending; the extremes are where these end.
Distribution distribution_of(uint64_t count, uint64_t zeros, std::vector<Segment> below, std::vector<Segment> above);

}  // namespace amct

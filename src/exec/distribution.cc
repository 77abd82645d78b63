#include "exec/distribution.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace amct {
namespace {

// Position of the k-th of the segment's values when counted from its `from` end towards `to`: values are taken to lie
// in the middles of equal parts.
float within(double from, double to, double weight, double k) {
  return static_cast<float>(from + (to - from) * (k - 0.5) / weight);
}

}  // namespace

float Distribution::kth_largest(uint64_t k) const {
  double rest = static_cast<double>(k);
  for (auto segment = segments.rbegin(); segment != segments.rend() && segment->high > 0; ++segment) {
    if (rest <= segment->weight) return within(segment->high, segment->low, segment->weight, rest);
    rest -= segment->weight;
  }
  return 0;
}

float Distribution::kth_smallest(uint64_t k) const {
  double rest = static_cast<double>(k);
  for (auto segment = segments.begin(); segment != segments.end() && segment->low < 0; ++segment) {
    if (rest <= segment->weight) return within(segment->low, segment->high, segment->weight, rest);
    rest -= segment->weight;
  }
  return 0;
}

Distribution distribution_of(uint64_t count, uint64_t zeros, std::vector<Segment> below, std::vector<Segment> above) {
  Distribution result;
  result.count = count;
  result.zeros = zeros;
  result.segments = std::move(below);
  if (zeros > 0) result.segments.push_back({0, 0, static_cast<double>(zeros)});
  result.segments.insert(result.segments.end(), above.begin(), above.end());
  if (result.segments.empty()) return result;
  result.min = static_cast<float>(result.segments.front().low);
  result.max = static_cast<float>(result.segments.back().high);
  return result;
}

}  // namespace amct

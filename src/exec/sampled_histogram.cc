#include "exec/sampled_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace amct {
namespace {

// What is known of one sign, as magnitudes.
struct Side {
  std::vector<Segment> atoms;  // of the tail, ascending
  double limit = 0;            // the tail holds every value beyond; 0 = every value
  double known() const {
    double sum = 0;
    for (const Segment& atom : atoms) sum += atom.weight;
    return sum;
  }
};

Side side_of(const Extremes& extremes, bool negative) {
  Side side;
  if (extremes.largest(negative) == 0) return side;
  const Tail& tail = extremes.tail(negative);
  side.atoms = tail_atoms(tail, extremes.largest_count(negative));
  if (tail.kept().size() >= tail.capacity()) side.limit = side.atoms.front().low;
  return side;
}

// The part of a segment of magnitudes that the tail does not know, if there is any. Values that equal the limit may be
// more than the tail has room for, unless they are the largest, whose number is known.
void add_interior(Segment segment, const Side& side, double scale, std::vector<Segment>& interior) {
  if (segment.low >= side.limit && segment.high > side.limit) return;
  if (segment.high > side.limit) {
    segment.weight *= (side.limit - segment.low) / (segment.high - segment.low);
    segment.high = side.limit;
  }
  if (segment.low == side.limit) {
    if (side.atoms.size() == 1) return;
    segment.weight -= side.atoms.front().weight / scale;
  }
  if (segment.weight > 0) interior.push_back(segment);
}

// Lets `inner`, the segment of magnitudes next to zero, begin at the value that is closest to it.
std::vector<Segment> begun_at(double closest, const Segment& inner) {
  if (inner.low < inner.high) return {{closest, inner.high, inner.weight}};
  if (inner.low == closest) return {inner};
  const double one = std::min(1.0, inner.weight / 2);
  return {{closest, closest, one}, {inner.low, inner.high, inner.weight - one}};
}

void scale_to(double weight, std::vector<Segment>& low, std::vector<Segment>& high) {
  double sum = 0;
  for (const auto* list : {&low, &high}) {
    for (const Segment& segment : *list) sum += segment.weight;
  }
  for (auto* list : {&low, &high}) {
    for (Segment& segment : *list) segment.weight *= weight / sum;
  }
}

// Appends an atom to ascending segments, or to the atom that ends them.
void append(std::vector<Segment>& segments, const Segment& segment) {
  const bool same = !segments.empty() && segments.back().low == segment.low && segments.back().high == segment.high;
  if (same) {
    segments.back().weight += segment.weight;
  } else if (segment.weight > 0) {
    segments.push_back(segment);
  }
}

}  // namespace

SampledHistogram::SampledHistogram(size_t tail_capacity) : extremes_(tail_capacity), chosen_(tail_capacity) {}

void SampledHistogram::merge(const SampledHistogram& other) {
  count_ += other.count_;
  chosen_.merge(other.chosen_);
  extremes_.merge(other.extremes_);
}

Distribution SampledHistogram::finish() const {
  if (!extremes_.finite()) fail_not_finite();
  const Side negative = side_of(extremes_, true), positive = side_of(extremes_, false);
  const Distribution chosen = chosen_.finish();
  const double rest = static_cast<double>(count_ - extremes_.zeros()) - negative.known() - positive.known();
  const double scale = static_cast<double>(count_) / static_cast<double>(std::max<uint64_t>(chosen.count, 1));
  std::vector<Segment> below, above;  // magnitudes from zero outwards
  for (const Segment& segment : chosen.segments) {
    if (segment.low < 0) add_interior(segment.mirrored(), negative, scale, below);
    if (segment.high > 0) add_interior(segment, positive, scale, above);
  }
  std::reverse(below.begin(), below.end());
  if (rest > 0 && below.empty() && above.empty()) {  // the chosen values show nothing of the others
    if (negative.limit > 0) below.push_back({0, negative.limit, 1});
    if (positive.limit > 0) above.push_back({0, positive.limit, 1});
  }
  const uint32_t least = extremes_.least_pattern();
  std::vector<Segment>& inner = least >> 31 ? below : above;
  if (!inner.empty() && least != 0) {
    const std::vector<Segment> begin = begun_at(std::abs(std::bit_cast<float>(least)), inner.front());
    inner.insert(inner.erase(inner.begin()), begin.begin(), begin.end());
  }
  scale_to(rest, below, above);

  std::vector<Segment> all_below, all_above;
  for (auto atom = negative.atoms.rbegin(); atom != negative.atoms.rend(); ++atom) append(all_below, atom->mirrored());
  for (auto segment = below.rbegin(); segment != below.rend(); ++segment) append(all_below, segment->mirrored());
  for (const Segment& segment : above) append(all_above, segment);
  for (const Segment& atom : positive.atoms) append(all_above, atom);
  return distribution_of(count_, extremes_.zeros(), std::move(all_below), std::move(all_above));
}

}  // namespace amct

#include "exec/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace amct {

void fail_not_finite() {
  throw Error(ErrorCode::kNumeric, "activation holds NaN or infinity", {},
              "check the calibration data and its preprocessing");
}

std::vector<Segment> tail_atoms(const Tail& tail, uint64_t largest_count) {
  std::vector<Segment> atoms;
  for (const uint32_t bits : tail.sorted()) {
    const double value = std::bit_cast<float>(bits);
    if (atoms.empty() || atoms.back().low != value) atoms.push_back({value, value, 0});
    atoms.back().weight += 1;
  }
  atoms.front().weight = static_cast<double>(largest_count);
  std::reverse(atoms.begin(), atoms.end());
  return atoms;
}

namespace {

Distribution finish_exact(const ValueCounts& counts, uint64_t count) {
  uint64_t zeros = 0;
  std::vector<Segment> below, above;
  counts.for_each([&](float value, uint64_t n) {
    if (!std::isfinite(value)) fail_not_finite();
    if (value == 0) {
      zeros = n;
    } else {
      (value < 0 ? below : above).push_back({value, value, static_cast<double>(n)});
    }
  });
  const auto lower = [](const Segment& a, const Segment& b) { return a.low < b.low; };
  std::sort(below.begin(), below.end(), lower);
  std::sort(above.begin(), above.end(), lower);
  Distribution result = distribution_of(count, zeros, std::move(below), std::move(above));
  result.exact = true;
  return result;
}

// The magnitudes of one sign, ascending. Atoms leave their buckets (the largest value and those beyond the buckets are
// in none); what remains of the bucket in which the tail begins ends there, because the tail holds everything larger.
std::vector<Segment> magnitudes(const LinearHistogram& buckets, bool negative) {
  std::vector<Segment> result;
  if (buckets.largest(negative) == 0) return result;
  const std::vector<Segment> atoms = tail_atoms(buckets.tail(negative), buckets.largest_count(negative));
  const auto largest = std::prev(atoms.end());
  auto atom = atoms.begin();
  buckets.for_each(negative, [&](double inner, double outer, uint64_t count) {
    Segment rest{inner, std::min(outer, atoms.front().low), static_cast<double>(count)};
    const auto first = atom;
    while (atom != largest && (atom->low < outer || (negative && atom->low == outer))) rest.weight -= (atom++)->weight;
    if (rest.weight > 0) result.push_back(rest);
    result.insert(result.end(), first, atom);
  });
  result.insert(result.end(), atom, atoms.end());
  return result;
}

// Raises the end next to zero of values of one sign to the value that is closest to it.
void end_at(double closest, std::vector<Segment>& segments) {
  if (segments.empty() || segments.front().low == segments.front().high) return;
  segments.front().low = std::max(segments.front().low, closest);
}

Distribution finish_buckets(const LinearHistogram& buckets, uint64_t count) {
  if (!buckets.finite()) fail_not_finite();
  std::vector<Segment> negative = magnitudes(buckets, true), positive = magnitudes(buckets, false);
  const double closest = std::abs(std::bit_cast<float>(buckets.least_pattern()));
  end_at(closest, buckets.least_pattern() >> 31 ? negative : positive);
  std::vector<Segment> below;
  for (auto segment = negative.rbegin(); segment != negative.rend(); ++segment) below.push_back(segment->mirrored());
  return distribution_of(count, buckets.zeros(), std::move(below), std::move(positive));
}

}  // namespace

size_t Histogram::tail_capacity(double percentile, uint64_t expected_count) {
  const double share = (1 - percentile) * static_cast<double>(expected_count);
  return static_cast<size_t>(std::clamp(std::ceil(share) + 1, 16.0, static_cast<double>(kMaxTail)));
}

Histogram::Histogram(size_t tail_capacity) : tail_capacity_(tail_capacity), exact_(std::make_unique<ValueCounts>()) {}

void Histogram::add(std::span<const float> values) {
  count_ += values.size();
  if (exact_) {
    values = values.subspan(exact_->add(values));
    if (exact_->overfull()) degrade();
  }
  if (!values.empty()) buckets_->add(values);
}

void Histogram::prefetch() const {
  if (buckets_) buckets_->prefetch();
}

void Histogram::merge(const Histogram& other) {
  AMCT_CHECK(tail_capacity_ == other.tail_capacity_, "histograms of different tails cannot merge");
  count_ += other.count_;
  if (!other.exact_) {
    if (exact_) degrade();
    buckets_->merge(*other.buckets_);
    return;
  }
  other.exact_->for_each([&](float value, uint64_t n) { exact_ ? exact_->add(value, n) : buckets_->add(value, n); });
  if (exact_ && exact_->overfull()) degrade();
}

void Histogram::degrade() {
  constexpr uint64_t kFew = 8;  // are counted faster among all the others
  buckets_ = std::make_unique<LinearHistogram>(tail_capacity_);
  std::vector<float> values;
  exact_->for_each([&](float value, uint64_t n) {
    if (n <= kFew) {
      values.insert(values.end(), n, value);
    } else {
      buckets_->add(value, n);
    }
  });
  buckets_->add(values);
  exact_.reset();
}

Distribution Histogram::finish() const {
  if (exact_) return finish_exact(*exact_, count_);
  buckets_->settle();  // changes the form, not what it stands for
  return finish_buckets(*buckets_, count_);
}

}  // namespace amct

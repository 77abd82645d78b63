#include "kernels/simd/extremes.h"

#include <algorithm>
#include <bit>

namespace amct {
namespace {

constexpr size_t kScanned = 4 * kCountChunk;  // values a look

}  // namespace

void Extremes::raise(bool negative, uint32_t magnitude) {
  if (magnitude <= largest_[negative]) return;
  largest_[negative] = magnitude;
  largest_counts_[negative] = 0;
}

void Extremes::keep(bool negative, uint32_t magnitude) {
  Tail& tail = tails_[negative];
  if (magnitude <= tail.threshold()) return;
  tail.add(magnitude);
  if (tail.crowded()) tail.trim();
}

ScannedValues Extremes::scan(std::span<const float> values) const {
  ScannedValues scanned;
  if (least_ == 0 && largest_[1] == 0 && scan_positive_values(values, largest_[0], scanned)) return scanned;
  return scan_values(values, largest_);
}

void Extremes::add(std::span<const float> values) {
  while (!values.empty() && finite_) {
    const auto part = values.first(std::min(values.size(), kScanned));
    values = values.subspan(part.size());
    ScannedValues scanned = scan(part);
    const Magnitudes& high = scanned.range.largest;
    if (std::max(high[0], high[1]) >= kInfinity) {
      finite_ = false;
      return;
    }
    if (high[0] > largest_[0] || high[1] > largest_[1]) {
      for (const bool negative : {false, true}) raise(negative, high[negative]);
      scanned = scan(part);
    }
    count_found(scanned.zeros, scanned.range.least, scanned.equal);
    if (high[0] <= tails_[0].threshold() && high[1] <= tails_[1].threshold()) continue;
    for (size_t i = 0; i < part.size(); i += kCountChunk) {
      uint32_t patterns[kCountChunk + 64];
      const auto chunk = part.subspan(i, std::min(kCountChunk, part.size() - i));
      const size_t found = find_larger(chunk, {tails_[0].threshold(), tails_[1].threshold()}, patterns);
      for (size_t k = 0; k < found; ++k) keep(patterns[k] >> 31, patterns[k] & 0x7fffffffu);
    }
  }
}

void Extremes::add(float value, uint64_t count) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool negative = bits >> 31;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (count == 0 || count_special(bits, count)) return;
  raise(negative, magnitude);
  if (magnitude == largest_[negative]) largest_counts_[negative] += count;
  const uint64_t copies = std::min<uint64_t>(count, tails_[negative].capacity());
  for (uint64_t i = 0; i < copies; ++i) keep(negative, magnitude);
}

void Extremes::merge(const Extremes& other) {
  merge_counts(other);
  for (const bool negative : {false, true}) {
    raise(negative, other.largest_[negative]);
    if (largest_[negative] == other.largest_[negative]) largest_counts_[negative] += other.largest_counts_[negative];
    for (const uint32_t magnitude : other.tails_[negative].kept()) keep(negative, magnitude);
  }
}

}  // namespace amct

#include "passes/quantize/shift_search.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/error.h"

namespace amct {
namespace {

constexpr size_t kTile = 4096;  // sums at a time: they stay in the cache for all N
constexpr int64_t kLow = -32768, kHigh = 32767;

// What a runtime would have summed: the quotient, half away from zero, cut to 32 bits.
int32_t to_sum(float value, float scale) {
  const double quotient = std::round(static_cast<double>(value / scale));
  return static_cast<int32_t>(
      std::clamp<double>(quotient, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
}

uint64_t cut_bits(std::span<const int32_t> sums, int shift) {
  const uint32_t mask = (uint32_t{1} << shift) - 1;
  uint64_t total = 0;
  for (const int32_t sum : sums) {
    const uint64_t lost = static_cast<uint32_t>(sum) & mask;
    total += lost * lost;
  }
  return total;
}

__int128 saturated(std::span<const int32_t> sums, int shift) {
  __int128 total = 0;
  for (const int32_t sum : sums) {
    const int64_t kept = std::clamp<int64_t>(sum >> shift, kLow, kHigh) * (int64_t{1} << shift);
    const int64_t lost = kept - sum;
    total += static_cast<__int128>(lost) * lost;
  }
  return total;
}

}  // namespace

void add_shift_errors(std::span<const int32_t> sums, ShiftErrors::Errors& errors) {
  for (size_t begin = 0; begin < sums.size(); begin += kTile) {
    const auto tile = sums.subspan(begin, std::min(kTile, sums.size() - begin));
    const auto [low, high] = std::ranges::minmax(tile);
    for (int shift = 1; shift <= ShiftErrors::kShifts; ++shift) {
      const bool fits = (low >> shift) >= kLow && (high >> shift) <= kHigh;
      errors[static_cast<size_t>(shift - 1)] += fits ? cut_bits(tile, shift) : saturated(tile, shift);
    }
  }
}

void ShiftErrors::add(const TensorView& result, size_t channel_axis) {
  if (result.dtype != DType::kFloat32) return;
  const float* values = result.as<float>();
  const auto channels = static_cast<int64_t>(scales_.size());
  AMCT_CHECK(channels == 1 || (channel_axis < result.dims.size() && result.dims[channel_axis] == channels),
             "one dequantization scale per channel");
  int64_t inner = 1;
  if (channels == 1) {
    inner = result.size();
  } else {
    for (size_t axis = channel_axis + 1; axis < result.dims.size(); ++axis) inner *= result.dims[axis];
  }
  const int64_t outer = inner == 0 ? 0 : result.size() / (inner * channels);
  for (int64_t i = 0; i < result.size(); ++i) largest_ = std::max(largest_, std::abs(values[i]));
  std::vector<int32_t> sums;
  for (int64_t c = 0; c < channels; ++c) {
    const float scale = scales_[static_cast<size_t>(c)];
    sums.clear();
    for (int64_t o = 0; o < outer; ++o) {
      const float* run = values + (o * channels + c) * inner;
      for (int64_t i = 0; i < inner; ++i) sums.push_back(to_sum(run[i], scale));
    }
    add_shift_errors(sums, errors_[static_cast<size_t>(c)]);
  }
}

void ShiftErrors::merge(const ShiftErrors& other) {
  AMCT_CHECK(scales_ == other.scales_, "errors of one layer");
  largest_ = std::max(largest_, other.largest_);
  for (size_t c = 0; c < errors_.size(); ++c) {
    for (size_t n = 0; n < errors_[c].size(); ++n) errors_[c][n] += other.errors_[c][n];
  }
}

std::vector<int> ShiftErrors::best() const {
  std::vector<int> shifts;
  for (const Errors& errors : errors_) {
    shifts.push_back(static_cast<int>(std::ranges::min_element(errors) - errors.begin()) + 1);
  }
  return shifts;
}

std::vector<int> ShiftErrors::safe() const {
  std::vector<int> shifts = best();
  for (size_t c = 0; c < shifts.size(); ++c) {
    while (shifts[c] < kShifts && (to_sum(largest_, scales_[c]) >> shifts[c]) > kHigh) ++shifts[c];
  }
  return shifts;
}

}  // namespace amct

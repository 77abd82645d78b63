#include "exec/channel_sums.h"

#include <algorithm>
#include <cmath>

namespace amct {
namespace {

constexpr double kFixedPoint = 0x1p40;
constexpr double kLargest = 0x1p80;  // beyond, the fixed point could overflow

// Adds `rows` rows of `channels` floats to `sums`: blocks of rows in float, so that the loop over channels vectorises,
// blocks in double.
void add_rows(const float* values, int64_t rows, int64_t channels, std::vector<double>& sums) {
  constexpr int64_t kBlock = 32;
  std::vector<float> block(static_cast<size_t>(channels));
  for (int64_t begin = 0; begin < rows; begin += kBlock) {
    const int64_t end = std::min(rows, begin + kBlock);
    std::fill(block.begin(), block.end(), 0.0f);
    for (int64_t row = begin; row < end; ++row) {
      const float* line = values + row * channels;
      for (int64_t c = 0; c < channels; ++c) block[static_cast<size_t>(c)] += line[c];
    }
    for (size_t c = 0; c < block.size(); ++c) sums[c] += static_cast<double>(block[c]);
  }
}

double sum_run(const float* values, int64_t count) {
  constexpr int64_t kLanes = 16;
  double total = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    float lanes[kLanes / 2];
    for (int64_t k = 0; k < kLanes / 2; ++k) lanes[k] = values[i + k] + values[i + k + kLanes / 2];
    for (const float lane : lanes) total += static_cast<double>(lane);
  }
  for (; i < count; ++i) total += static_cast<double>(values[i]);
  return total;
}

}  // namespace

void ChannelSums::add(const TensorView& view, size_t channel_axis) {
  if (view.dtype != DType::kFloat32 || channel_axis >= view.dims.size() || channel_axis == 0) return;
  const int64_t channels = view.dims[channel_axis];
  int64_t outer = 1;
  int64_t inner = 1;
  for (size_t axis = 1; axis < view.dims.size(); ++axis) {
    if (axis < channel_axis) outer *= view.dims[axis];
    if (axis > channel_axis) inner *= view.dims[axis];
  }
  sums_.resize(static_cast<size_t>(channels), 0);
  const float* values = view.as<float>();
  for (int64_t sample = 0; sample < view.dims[0]; ++sample) {
    std::vector<double> sums(static_cast<size_t>(channels), 0);
    if (inner == 1) {
      add_rows(values, outer, channels, sums);
    } else {
      for (int64_t run = 0; run < outer * channels; ++run) {
        sums[static_cast<size_t>(run % channels)] += sum_run(values + run * inner, inner);
      }
    }
    for (size_t c = 0; c < sums.size(); ++c) {
      finite_ = finite_ && std::abs(sums[c]) < kLargest;
      if (finite_) sums_[c] += static_cast<__int128>(sums[c] * kFixedPoint);
    }
    values += outer * channels * inner;
    count_ += outer * inner;
  }
}

void ChannelSums::merge(const ChannelSums& other) {
  if (other.count_ == 0) return;
  sums_.resize(other.sums_.size(), 0);
  for (size_t c = 0; c < sums_.size(); ++c) sums_[c] += other.sums_[c];
  count_ += other.count_;
  finite_ = finite_ && other.finite_;
}

std::vector<double> ChannelSums::means() const {
  std::vector<double> means;
  if (count_ == 0 || !finite_) return means;
  for (const __int128 sum : sums_)
    means.push_back(static_cast<double>(sum) / kFixedPoint / static_cast<double>(count_));
  return means;
}

}  // namespace amct

#include "exec/channel_sums.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace amct {
namespace {

constexpr double kFixedPoint = 0x1p40;
constexpr double kLargest = 0x1p80;  // beyond, the fixed point could overflow

// Adds every `stride`-th of `rows` rows of `channels` floats to `sums`: blocks of rows in float, so that the loop over
// channels vectorises, blocks in double. Returns how many rows that were.
int64_t add_rows(const float* values, int64_t rows, int64_t channels, int64_t stride, std::vector<double>& sums) {
  constexpr int64_t kBlock = 32;
  std::vector<float> block(static_cast<size_t>(channels));
  const int64_t taken = (rows + stride - 1) / stride;
  for (int64_t begin = 0; begin < taken; begin += kBlock) {
    const int64_t end = std::min(taken, begin + kBlock);
    std::fill(block.begin(), block.end(), 0.0f);
    for (int64_t row = begin; row < end; ++row) {
      const float* line = values + row * stride * channels;
      for (int64_t c = 0; c < channels; ++c) block[static_cast<size_t>(c)] += line[c];
    }
    for (size_t c = 0; c < block.size(); ++c) sums[c] += static_cast<double>(block[c]);
  }
  return taken;
}

double sum_run(const float* values, int64_t count) {
  constexpr int64_t kLanes = 16;
  constexpr int64_t kBlock = 32 * kLanes;
  double total = 0;
  int64_t i = 0;
  while (i + kLanes <= count) {
    const int64_t end = std::min(count, i + kBlock);
    float lanes[kLanes] = {};
    for (; i + kLanes <= end; i += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k) lanes[k] += values[i + k];
    }
    for (const float lane : lanes) total += static_cast<double>(lane);
  }
  for (; i < count; ++i) total += static_cast<double>(values[i]);
  return total;
}

__int128 fixed_point(double sum) {
  const double scaled = sum * kFixedPoint;  // nearly always fits an instruction
  return std::abs(scaled) < 0x1p62 ? static_cast<int64_t>(scaled) : static_cast<__int128>(scaled);
}

// Odd, and without a common factor with the extent of the innermost spatial axis, so that every column takes part.
int64_t stride_of(int64_t positions, int64_t width) {
  int64_t stride = positions / ChannelSums::kPositions | 1;
  while (stride < positions && std::gcd(stride, width) > 1) stride += 2;
  return stride;
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
  const int64_t stride = channel_axis > 1 ? stride_of(outer, view.dims[channel_axis - 1]) : 1;
  const float* values = view.as<float>();
  for (int64_t sample = 0; sample < view.dims[0]; ++sample) {
    std::vector<double> sums(static_cast<size_t>(channels), 0);
    int64_t positions = outer * inner;
    if (inner == 1) {
      positions = add_rows(values, outer, channels, stride, sums);
    } else {
      for (int64_t run = 0; run < outer * channels; ++run) {
        sums[static_cast<size_t>(run % channels)] += sum_run(values + run * inner, inner);
      }
    }
    for (size_t c = 0; c < sums.size(); ++c) {
      finite_ = finite_ && std::abs(sums[c]) < kLargest;
      if (finite_) sums_[c] += fixed_point(sums[c]);
    }
    values += outer * channels * inner;
    count_ += positions;
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

#include "exec/channel_sums.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ir/half.h"
#include "kernels/simd/row_sums.h"

namespace amct {
namespace {

constexpr int64_t kBlock = 32;  // rows
constexpr double kFixedPoint = 0x1p40;
constexpr double kLargest = 0x1p80;  // beyond, the fixed point could overflow
constexpr __int128 kMostSum = static_cast<__int128>(1) << 120;
constexpr uint64_t kMostValues = uint64_t{1} << 48;  // far more than anybody observes

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

}  // namespace

void ChannelSums::add(const TensorView& view, size_t channel_axis) {
  if (view.dtype == DType::kFloat16) {
    const Half* from = view.as<Half>();
    std::vector<float> values(static_cast<size_t>(view.size()));
    std::transform(from, from + values.size(), values.begin(), [](Half value) { return static_cast<float>(value); });
    TensorView widened = view;
    widened.dtype = DType::kFloat32;
    widened.data = values.data();
    return add(widened, channel_axis);
  }
  if (view.dtype != DType::kFloat32 || channel_axis >= view.dims.size() || channel_axis == 0) return;
  const int64_t channels = view.dims[channel_axis];
  int64_t outer = 1;
  int64_t inner = 1;
  for (size_t axis = 1; axis < view.dims.size(); ++axis) {
    if (axis < channel_axis) outer *= view.dims[axis];
    if (axis > channel_axis) inner *= view.dims[axis];
  }
  const float* values = view.as<float>();
  for (int64_t sample = 0; sample < view.dims[0]; ++sample, values += outer * channels * inner) {
    if (inner == 1) {
      add_rows({values, static_cast<size_t>(outer * channels)}, channels);
      end_sample();
      continue;
    }
    std::vector<double> sums(static_cast<size_t>(channels), 0);
    for (int64_t run = 0; run < outer * channels; ++run) {
      sums[static_cast<size_t>(run % channels)] += sum_run(values + run * inner, inner);
    }
    take(sums, outer * inner);
  }
}

void ChannelSums::add_rows(std::span<const float> rows, int64_t channels) {
  if (rows.empty()) return;
  const auto width = static_cast<size_t>(channels);
  block_.resize(width, 0);
  sample_.resize(width, 0);
  while (!rows.empty()) {
    const int64_t count = std::min(kBlock - block_rows_, static_cast<int64_t>(rows.size() / width));
    amct::add_rows(rows.data(), count, channels, block_.data());
    block_rows_ += count;
    sample_rows_ += count;
    if (block_rows_ == kBlock) close_block();
    rows = rows.subspan(static_cast<size_t>(count) * width);
  }
}

void ChannelSums::close_block() {
  for (size_t c = 0; c < block_.size(); ++c) sample_[c] += static_cast<double>(std::exchange(block_[c], 0.0f));
  block_rows_ = 0;
}

void ChannelSums::end_sample() {
  close_block();
  take(sample_, sample_rows_);
  std::fill(sample_.begin(), sample_.end(), 0.0);
  sample_rows_ = 0;
}

void ChannelSums::take(const std::vector<double>& sums, int64_t positions) {
  sums_.resize(sums.size(), 0);
  for (size_t c = 0; c < sums.size(); ++c) {
    finite_ = finite_ && std::abs(sums[c]) < kLargest;
    if (finite_) sums_[c] += fixed_point(sums[c]);
  }
  count_ += positions;
}

void ChannelSums::merge(const ChannelSums& other) {
  if (other.count_ == 0) return;
  sums_.resize(other.sums_.size(), 0);
  using Unsigned = unsigned __int128;
  for (size_t c = 0; c < sums_.size(); ++c) {
    sums_[c] = static_cast<__int128>(static_cast<Unsigned>(sums_[c]) + static_cast<Unsigned>(other.sums_[c]));
  }
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

void ChannelSums::write(ByteWriter& out) const {
  out.number(static_cast<uint64_t>(count_));
  out.number(finite_ ? 1 : 0);
  out.number(sums_.size());
  for (const __int128 sum : sums_) {
    out.fixed(static_cast<uint64_t>(sum), 8);
    out.fixed(static_cast<uint64_t>(sum >> 64), 8);
  }
}

ChannelSums ChannelSums::read(ByteReader& in) {
  ChannelSums result;
  result.count_ = static_cast<int64_t>(in.number(kMostValues));
  result.finite_ = in.number(1) == 1;
  result.sums_.resize(in.length(16));
  if (result.sums_.empty() && result.count_ > 0) ByteReader::fail();
  for (__int128& sum : result.sums_) {
    const uint64_t low = in.fixed(8);
    sum = static_cast<__int128>(static_cast<unsigned __int128>(in.fixed(8)) << 64 | low);
    if (sum > kMostSum || sum < -kMostSum) ByteReader::fail();
  }
  return result;
}

}  // namespace amct

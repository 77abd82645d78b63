#include "exec/channel_max.h"

#include <algorithm>
#include <cmath>

namespace amct {
namespace {

// NaN wins, so that it is seen at the end.
float larger(float a, float b) { return b > a || b != b ? b : a; }

}  // namespace

void ChannelMax::add(const TensorView& view, size_t channel_axis) {
  if (view.dtype != DType::kFloat32 || channel_axis >= view.dims.size()) return;
  const auto channels = static_cast<size_t>(view.dims[channel_axis]);
  int64_t inner = 1;
  for (size_t axis = channel_axis + 1; axis < view.dims.size(); ++axis) inner *= view.dims[axis];
  values_.resize(channels, 0.0f);
  const float* values = view.as<float>();
  const int64_t runs = view.size() / std::max<int64_t>(inner, 1);
  if (inner == 1) {
    for (int64_t row = 0; row < runs; row += static_cast<int64_t>(channels), values += channels) {
      for (size_t c = 0; c < channels; ++c) values_[c] = larger(values_[c], std::abs(values[c]));
    }
    return;
  }
  for (int64_t run = 0; run < runs; ++run, values += inner) {
    float most = 0;
    for (int64_t i = 0; i < inner; ++i) most = larger(most, std::abs(values[i]));
    float& value = values_[static_cast<size_t>(run) % channels];
    value = larger(value, most);
  }
}

void ChannelMax::merge(const ChannelMax& other) {
  if (other.values_.empty()) return;
  values_.resize(other.values_.size(), 0.0f);
  for (size_t c = 0; c < values_.size(); ++c) values_[c] = larger(values_[c], other.values_[c]);
}

bool ChannelMax::finite() const {
  return std::ranges::all_of(values_, [](float value) { return std::isfinite(value); });
}

void ChannelMax::write(ByteWriter& out) const {
  out.number(values_.size());
  for (const float value : values_) out.real(value);
}

ChannelMax ChannelMax::read(ByteReader& in) {
  ChannelMax result;
  result.values_.resize(in.length(4));
  for (float& value : result.values_) {
    value = in.real();
    if (value < 0) ByteReader::fail();
  }
  return result;
}

}  // namespace amct

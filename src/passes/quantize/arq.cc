#include "passes/quantize/arq.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace amct {
namespace {

struct Extremes {
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
  bool finite = true;

  void add(const float* values, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
      finite = finite && std::isfinite(values[i]);
    }
  }
};

float scale_of(const Extremes& extremes, int bits) {
  const float positive = std::abs(extremes.high), negative = std::abs(extremes.low);
  const float levels = std::ldexp(1.0f, bits - 1);
  const float scale = positive < negative ? negative / levels : positive / (levels - 1);
  return scale >= std::numeric_limits<float>::epsilon() ? scale : 1.0f;
}

void check_bits(int bits, const std::string& layer) {
  if (bits != 4 && bits != 6 && bits != 7 && bits != 8) {
    throw Error(ErrorCode::kConfig, fmt::format("weights cannot have {} bits", bits), {.node = layer},
                "bits may be 4, 6, 7 or 8");
  }
}

std::vector<float> scales_of(const std::vector<Extremes>& extremes, int bits, const std::string& layer) {
  std::vector<float> scales;
  for (const Extremes& part : extremes) {
    if (!part.finite) {
      throw Error(ErrorCode::kNumeric, "weights hold NaN or infinity", {.node = layer}, "repair or retrain the model");
    }
    scales.push_back(part.low > part.high ? 1.0f : scale_of(part, bits));
  }
  return scales;
}

}  // namespace

std::vector<float> arq_scales(const Tensor& weights, int channel_axis, bool per_channel, int bits,
                              const std::string& layer) {
  check_bits(bits, layer);
  const Tensor converted = weights.dtype() == DType::kFloat32 ? weights : weights.cast(DType::kFloat32);
  const float* values = converted.values<float>().data();
  const Dims& dims = weights.dims();
  AMCT_CHECK(!per_channel || (channel_axis >= 0 && channel_axis < static_cast<int>(dims.size())),
             "no such channel axis");
  const int64_t channels = per_channel ? dims[channel_axis] : 1;
  int64_t inner = weights.size();
  if (per_channel) {
    inner = 1;
    for (size_t axis = static_cast<size_t>(channel_axis) + 1; axis < dims.size(); ++axis) inner *= dims[axis];
  }
  std::vector<Extremes> extremes(static_cast<size_t>(channels));
  const int64_t blocks = inner == 0 ? 0 : weights.size() / inner;
  for (int64_t block = 0; block < blocks; ++block) extremes[block % channels].add(values + block * inner, inner);
  return scales_of(extremes, bits, layer);
}

std::vector<float> arq_group_scales(const Tensor& weights, int axis, int group, int bits, const std::string& layer) {
  check_bits(bits, layer);
  const Dims& dims = weights.dims();
  AMCT_CHECK(axis >= 0 && axis < static_cast<int>(dims.size()) && group > 0, "no such groups");
  const Tensor converted = weights.dtype() == DType::kFloat32 ? weights : weights.cast(DType::kFloat32);
  const float* values = converted.values<float>().data();
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < dims.size(); ++i) inner *= dims[i];
  const int64_t extent = dims[axis], groups = (extent + group - 1) / group;
  const int64_t outer = weights.size() == 0 ? 0 : weights.size() / (inner * extent);
  std::vector<Extremes> extremes(static_cast<size_t>(outer * groups * inner));
  for (int64_t row = 0; row < outer * extent; ++row) {
    Extremes* of_row = extremes.data() + (row / extent * groups + row % extent / group) * inner;
    for (int64_t i = 0; i < inner; ++i) of_row[i].add(values + row * inner + i, 1);
  }
  return scales_of(extremes, bits, layer);
}

}  // namespace amct

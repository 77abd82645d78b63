#include "passes/quantize/integer_constants.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "passes/quantize/nuq.h"

namespace amct {
namespace {

float float_at(const std::byte* floats, int64_t index) {
  float value;
  std::memcpy(&value, floats + index * static_cast<int64_t>(sizeof(float)), sizeof(float));
  return value;
}

constexpr size_t kLargeBytes = size_t{4} << 20;  // less is not worth making again

// Weights next to each other that have one scale (step 0) or one each (step 1).
struct ScaledRun {
  int64_t first, count;
  const float* scales;
  int64_t step;

  // Calls f(element index, scale). Loops of one kind each, so that a compiler makes vectors of them.
  template <typename F>
  void for_each(F&& f) const {
    if (step == 1) {
      for (int64_t i = 0; i < count; ++i) f(first + i, scales[i]);
    } else {
      const float scale = *scales;
      for (int64_t i = 0; i < count; ++i) f(first + i, scale);
    }
  }
};

// Calls f(run) for all weights with scales of groups.
template <typename F>
void for_each_grouped(const Dims& dims, const WeightPlan& plan, int axis, F&& f) {
  const Dims scale_dims = group_scale_dims(dims, plan, axis);
  AMCT_CHECK(element_count(scale_dims) == static_cast<int64_t>(plan.scales.size()), "one weight scale per group");
  const auto inputs = static_cast<size_t>(group_axis(dims, axis));
  const int64_t inner = inputs + 1 == dims.size() ? 1 : dims.back();
  const int64_t rows = element_count(dims) / std::max<int64_t>(inner, 1);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t outer = row / dims[inputs], group = row % dims[inputs] / plan.group;
    f(ScaledRun{row * inner, inner, plan.scales.data() + (outer * scale_dims[inputs] + group) * inner, 1});
  }
}

// Calls f(run) for all weights.
template <typename F>
void for_each_scaled(const Dims& dims, const WeightPlan& plan, int axis, F&& f) {
  if (plan.group > 0) return for_each_grouped(dims, plan, axis, f);
  const float* scales = plan.scales.data();
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < dims.size(); ++i) inner *= dims[i];
  const int64_t count = element_count(dims);
  const auto channels = static_cast<int64_t>(plan.scales.size());
  AMCT_CHECK(channels == 1 || (axis < static_cast<int>(dims.size()) && dims[axis] == channels),
             "one weight scale, or one per output channel");
  if (channels == 1) return f(ScaledRun{0, count, scales, 0});
  const int64_t length = inner == 1 ? channels : inner;
  for (int64_t first = 0, run = 0; first < count; first += length, ++run) {
    f(inner == 1 ? ScaledRun{first, length, scales, 1} : ScaledRun{first, length, scales + run % channels, 0});
  }
}

// Half to even, for |x| < 2^22: what std::nearbyint gives, without a call.
float rounded(float x) { return x + 0x1.8p23f - 0x1.8p23f; }

}  // namespace

int group_axis(const Dims& weight, int channel_axis) {
  const int rank = static_cast<int>(weight.size());
  return channel_axis + 1 == rank ? rank - 2 : rank - 1;
}

Dims group_scale_dims(const Dims& weight, const WeightPlan& plan, int channel_axis) {
  AMCT_CHECK(weight.size() >= 2 && plan.group > 0, "groups of a matrix's inputs");
  Dims dims = weight;
  int64_t& inputs = dims[static_cast<size_t>(group_axis(weight, channel_axis))];
  inputs = (inputs + plan.group - 1) / plan.group;
  return dims;
}

Tensor when_needed(const Tensor& tensor, DType dtype, const Dims& dims, std::function<Tensor(const Tensor&)> make) {
  if (tensor.byte_size() < kLargeBytes && !tensor.is_deferred()) return make(tensor);
  return Tensor::deferred(dtype, dims, [tensor, make = std::move(make)] { return make(tensor); });
}

Tensor integer_weights(const Tensor& weights, const WeightPlan& plan, int axis) {
  const bool in_place = weights.dtype() == DType::kFloat32 && !weights.is_deferred();  // at any address
  const Tensor source = in_place ? weights : weights.resident().cast(DType::kFloat32);
  const std::byte* from = source.bytes().data();
  Tensor result = Tensor::allocate(DType::kInt8, weights.dims());
  int8_t* to = result.mutable_values<int8_t>().data();
  const auto low = static_cast<float>(-(1 << (plan.bits - 1)));
  const auto high = static_cast<float>((1 << (plan.bits - 1)) - 1);
  for_each_scaled(weights.dims(), plan, axis, [=](const ScaledRun& run) {
    run.for_each([=](int64_t i, float scale) {
      to[i] = static_cast<int8_t>(static_cast<int32_t>(rounded(std::clamp(float_at(from, i) / scale, low, high))));
    });
  });
  if (plan.clusters.empty()) return result;
  std::array<int8_t, 256> nearest{};
  for (int q = -128; q < 128; ++q) nearest[q + 128] = static_cast<int8_t>(nearest_cluster(plan.clusters, q));
  for (int8_t& q : result.mutable_values<int8_t>()) q = nearest[q + 128];
  return result;
}

Tensor fake_quantized(const Tensor& weights, const WeightPlan& plan, int axis) {
  const Tensor integers = integer_weights(weights, plan, axis);
  const int8_t* from = integers.values<int8_t>().data();
  Tensor result = Tensor::allocate(DType::kFloat32, weights.dims());
  float* to = result.mutable_values<float>().data();
  for_each_scaled(weights.dims(), plan, axis, [=](const ScaledRun& run) {
    run.for_each([=](int64_t i, float scale) { to[i] = static_cast<float>(from[i]) * scale; });
  });
  return result;
}

std::vector<float> dequant_scales(float scale_d, std::span<const float> scales) {
  if (scales.empty()) return {scale_d};
  std::vector<float> result;
  for (const float scale : scales) result.push_back(scale_d * scale);
  return result;
}

Tensor integer_bias(const Tensor& bias, std::span<const float> dequant_scales, int64_t channels,
                    const std::string& layer) {
  const Tensor source = bias.cast(DType::kFloat32);
  const auto values = source.values<float>();
  Tensor result = Tensor::allocate(DType::kInt32, {channels});
  const auto to = result.mutable_values<int32_t>();
  for (int64_t i = 0; i < channels; ++i) {
    const float value = values.size() == 1 ? values[0] : values[i];
    const float scale = dequant_scales.size() == 1 ? dequant_scales[0] : dequant_scales[i];
    const double quantized = std::nearbyint(value / scale);  // the division rounds to float32, as AMCT's does
    if (!(quantized >= std::numeric_limits<int32_t>::min() && quantized <= std::numeric_limits<int32_t>::max())) {
      throw Error(ErrorCode::kNumeric,
                  fmt::format("bias {} of channel {} is too large for its scale {}", value, i, scale), {.node = layer},
                  "skip the layer");
    }
    to[i] = static_cast<int32_t>(quantized);
  }
  return result;
}

Tensor dequant_parameters(std::span<const float> dequant_scales, std::span<const int> shifts) {
  AMCT_CHECK(shifts.empty() || shifts.size() == dequant_scales.size(), "one shift per scale");
  std::vector<uint64_t> words;
  for (size_t i = 0; i < dequant_scales.size(); ++i) {
    const uint64_t shift = shifts.empty() ? 0 : static_cast<uint64_t>(shifts[i]);
    words.push_back(std::bit_cast<uint32_t>(dequant_scales[i]) | shift << 40);
  }
  return Tensor::of<uint64_t>({static_cast<int64_t>(words.size())}, words);
}

}  // namespace amct

#include "kernels/simd/int_epilogue.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/int_epilogue.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, 16>;  // scales are padded to 16
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;

// One row: where a vector's channels lie in the operands and the result.
struct Row {
  std::byte* y;
  std::array<const std::byte*, IntEpilogue::kMaxOperands> operands;
};

// Calls f with a full vector's worth of elements: those in memory, or a copy where fewer are left.
template <typename T>
HWY_INLINE const T* full(const T* from, size_t count, T* copy) {
  if (count == hn::Lanes(DF())) return from;
  std::memcpy(copy, from, count * sizeof(T));
  return copy;
}

template <typename T>
HWY_INLINE VF load_integers(const std::byte* at, size_t count) {
  const DF d;
  const hn::Rebind<T, DF> narrow;
  HWY_ALIGN T copy[HWY_MAX_BYTES / sizeof(float)] = {};
  const T* from = full(reinterpret_cast<const T*>(at), count, copy);
  return hn::ConvertTo(d, hn::PromoteTo(DI(), hn::LoadU(narrow, from)));
}

HWY_INLINE VF load_floats(const std::byte* at, size_t count) {
  HWY_ALIGN float copy[HWY_MAX_BYTES / sizeof(float)] = {};
  return hn::LoadU(DF(), full(reinterpret_cast<const float*>(at), count, copy));
}

template <typename T>
HWY_INLINE void store_as(VF value, T* at, size_t count) {
  const DF d;
  if constexpr (std::is_same_v<T, float>) {
    if (count == hn::Lanes(d)) return hn::StoreU(value, d, at);
    HWY_ALIGN float copy[HWY_MAX_BYTES / sizeof(float)];
    hn::Store(value, d, copy);
    std::memcpy(at, copy, count * sizeof(float));
  } else {
    const hn::Rebind<T, DF> narrow;
    const auto integers = hn::DemoteTo(narrow, hn::ConvertTo(DI(), value));  // limited before: nothing saturates
    if (count == hn::Lanes(d)) return hn::StoreU(integers, narrow, at);
    HWY_ALIGN T copy[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(integers, narrow, copy);
    std::memcpy(at, copy, count * sizeof(T));
  }
}

HWY_INLINE VF limited(VF v, float low, float high) {
  const DF d;
  return hn::Min(hn::Max(v, hn::Set(d, low)), hn::Set(d, high));
}

HWY_INLINE VF quantized(VF v, const IntStage& s) {
  const DF d;
  const VF scale = hn::Set(d, s.scale);
  const VF steps = s.divides ? hn::Div(v, scale) : hn::Mul(v, scale);
  return limited(hn::Add(hn::Round(steps), hn::Set(d, s.zero)), s.low, s.high);
}

HWY_INLINE VF scaled(const int32_t* sums, const IntStage& s, int64_t channel) {
  const DF d;
  const VF scale = s.scales.size() == 1 ? hn::Set(d, s.scales[0]) : hn::LoadU(d, s.scales.data() + channel);
  return hn::Mul(hn::ConvertTo(d, hn::LoadU(DI(), sums)), scale);
}

// Channels from `channel` on, all stages in turn.
template <typename T>
HWY_INLINE void any_stages(const std::vector<IntStage>& stages, const int32_t* sums, int64_t channel, size_t count,
                           const Row& row) {
  const DF d;
  VF v = scaled(sums, stages[0], channel);
  size_t operand = 0;
  for (size_t i = 1; i < stages.size(); ++i) {
    const IntStage& s = stages[i];
    switch (s.kind) {
      case IntStage::Kind::kScale: v = hn::Mul(v, hn::Set(d, s.scale)); break;
      case IntStage::Kind::kClip: v = limited(v, s.low, s.high); break;
      case IntStage::Kind::kAdd:
        v = hn::Add(v, load_floats(row.operands[operand++] + channel * static_cast<int64_t>(sizeof(float)), count));
        break;
      case IntStage::Kind::kQuantize: v = quantized(v, s); break;
      case IntStage::Kind::kDequantize: v = hn::Mul(hn::Sub(v, hn::Set(d, s.zero)), hn::Set(d, s.scale)); break;
      case IntStage::Kind::kAddQuantized: {
        const std::byte* at = row.operands[operand++] + channel;
        const VF q = s.operand_is_signed ? load_integers<int8_t>(at, count) : load_integers<uint8_t>(at, count);
        v = hn::Add(v, hn::Mul(hn::Sub(q, hn::Set(d, s.zero)), hn::Set(d, s.scale)));
        break;
      }
    }
  }
  store_as<T>(v, reinterpret_cast<T*>(row.y) + channel, count);
}

// The integers, less the zero point, that quantization gives for values from `low` to `high`.
struct StepRange {
  StepRange(const IntStage& q, float low, float high) : low(limit(q, low)), high(limit(q, high)) {}
  static float limit(const IntStage& q, float value) {
    const float steps = std::nearbyint(q.divides ? value / q.scale : value * q.scale);
    return std::min(std::max(steps, q.low - q.zero), q.high - q.zero);
  }
  float low, high;
};

// Scale, limits, quantization: what most layers do. Quantization does not decrease, so that limits before it are limits
// of its result, and limits that are integers may be taken before rounding. Adding 1.5 * 2^23 rounds to the nearest
// integer, ties to even, and leaves it in the lowest bits.
template <typename T, bool kDivides, bool kFactor>
void requantize_rows(const IntEpilogue& epilogue, const int32_t* sums, int64_t ld, int64_t row, int64_t rows,
                     int64_t first, int64_t count, T* y) {
  const DF d;
  const DI di;
  const hn::Rebind<T, DF> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const std::vector<IntStage>& stages = epilogue.stages();
  const IntStage& q = stages.back();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool clips = stages.size() == 3;
  const StepRange range(q, clips ? stages[1].low : -kInfinity, clips ? stages[1].high : kInfinity);
  const VF low = hn::Set(d, range.low), high = hn::Set(d, range.high), factor = hn::Set(d, q.scale);
  constexpr float kRound = 12582912.0f;
  const VF round = hn::Set(d, kRound);
  const auto unround = hn::Set(di, std::bit_cast<int32_t>(kRound) - static_cast<int32_t>(q.zero));
  const VF one_scale = hn::Set(d, stages[0].scales[0]);
  const float* scales = stages[0].scales.size() == 1 ? nullptr : stages[0].scales.data() + first;
  const auto quanta = [&](const int32_t* from, int64_t c) HWY_ATTR {
    const VF scale = scales == nullptr ? one_scale : hn::LoadU(d, scales + c);
    VF v = hn::Mul(hn::ConvertTo(d, hn::LoadU(di, from + c)), scale);
    if constexpr (kFactor) v = kDivides ? hn::Div(v, factor) : hn::Mul(v, factor);
    const VF steps = hn::Add(hn::Min(hn::Max(v, low), high), round);
    return hn::DemoteTo(narrow, hn::Sub(hn::BitCast(di, steps), unround));
  };
  y += row * epilogue.channels() + first;
  for (int64_t r = 0; r < rows; ++r, sums += ld, y += epilogue.channels()) {
    int64_t c = 0;
    for (; c + lanes <= count; c += lanes) hn::StoreU(quanta(sums, c), narrow, y + c);
    if (c >= count) continue;
    HWY_ALIGN T copy[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(quanta(sums, c), narrow, copy);
    std::memcpy(y + c, copy, static_cast<size_t>(count - c) * sizeof(T));
  }
}

template <typename T, class F>
HWY_INLINE void each_vector(const IntEpilogue& epilogue, const int32_t* sums, int64_t ld, int64_t first, int64_t row,
                            int64_t rows, int64_t count, const IntEpilogue::Rows& to, F f) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
  const auto& stages = epilogue.stages();
  for (int64_t r = 0; r < rows; ++r, sums += ld) {
    const int64_t at = (row + r) * epilogue.channels();
    Row place{static_cast<std::byte*>(to.y) + at * static_cast<int64_t>(sizeof(T)), {}};
    size_t operand = 0;
    for (const IntStage& s : stages) {
      if (s.kind != IntStage::Kind::kAdd && s.kind != IntStage::Kind::kAddQuantized) continue;
      const int64_t bytes = s.kind == IntStage::Kind::kAdd ? at * 4 : at;
      place.operands[operand] = static_cast<const std::byte*>(to.operands[operand]) + bytes;
      ++operand;
    }
    for (int64_t c = 0; c < count; c += lanes) {
      f(stages, sums + c, first + c, static_cast<size_t>(std::min(lanes, count - c)), place);
    }
  }
}

template <typename T>
HWY_INLINE void apply_as(const IntEpilogue& epilogue, const int32_t* sums, int64_t ld, int64_t row, int64_t rows,
                         int64_t first, int64_t count, const IntEpilogue::Rows& to) {
  using Kind = IntStage::Kind;
  const auto& stages = epilogue.stages();
  const bool usual = stages.back().kind == Kind::kQuantize && stages.back().scale > 0 &&
                     (stages.size() == 2 || (stages.size() == 3 && stages[1].kind == Kind::kClip));
  if constexpr (std::is_integral_v<T>) {
    if (usual) {
      const auto run = stages.back().scale == 1 ? requantize_rows<T, false, false>
                       : stages.back().divides  ? requantize_rows<T, true, true>
                                                : requantize_rows<T, false, true>;
      return run(epilogue, sums, ld, row, rows, first, count, static_cast<T*>(to.y));
    }
  }
  each_vector<T>(epilogue, sums, ld, first, row, rows, count, to,
                 [](const std::vector<IntStage>& s, const int32_t* from, int64_t channel, size_t n, const Row& place)
                     HWY_ATTR { any_stages<T>(s, from, channel, n, place); });
}

void apply(const IntEpilogue& epilogue, const int32_t* sums, int64_t ld, int64_t row, int64_t rows, int64_t first,
           int64_t count, const IntEpilogue::Rows& to) {
  switch (epilogue.result()) {
    case DType::kFloat32: return apply_as<float>(epilogue, sums, ld, row, rows, first, count, to);
    case DType::kInt8: return apply_as<int8_t>(epilogue, sums, ld, row, rows, first, count, to);
    case DType::kUInt8: return apply_as<uint8_t>(epilogue, sums, ld, row, rows, first, count, to);
    default: return apply_as<int16_t>(epilogue, sums, ld, row, rows, first, count, to);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(apply);

IntEpilogue::IntEpilogue(std::vector<IntStage> stages, int64_t channels, DType result)
    : stages_(std::move(stages)), channels_(channels), result_(result) {
  AMCT_CHECK(stages_.empty() ? result == DType::kInt32 : stages_[0].kind == IntStage::Kind::kScale,
             "sums are scaled first");
  for (IntStage& s : stages_) {
    if (s.scales.size() > 1) s.scales.resize(static_cast<size_t>((channels + 15) / 16 * 16), 1.0f);
  }
}

void IntEpilogue::apply(const int32_t* sums, int64_t ld, int64_t row, int64_t rows, int64_t first, int64_t count,
                        const Rows& to) const {
  if (!stages_.empty()) return HWY_DYNAMIC_DISPATCH(apply)(*this, sums, ld, row, rows, first, count, to);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(sums + r * ld, count, static_cast<int32_t*>(to.y) + (row + r) * channels_ + first);
  }
}

}  // namespace amct
#endif  // HWY_ONCE

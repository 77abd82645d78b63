#include "kernels/simd/int_epilogue.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "kernels/simd/int_epilogue_tile.h"

// Arrays of vectors need vectors of known size.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
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

// Adding it rounds to the nearest integer, ties to even, and leaves that in the lowest bits.
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23

// Stores the lowest bits of vectors of integers, plus `added`; the last vector has `count` elements.
template <typename T, int kVectors>
HWY_INLINE void store_low_bits(const hn::Vec<DI> (&v)[kVectors], int32_t added, T* y, size_t count) {
  using U = std::make_unsigned_t<T>;
  U* to = reinterpret_cast<U*>(y);
#if HWY_TARGET != HWY_SCALAR
  const hn::Repartition<uint16_t, DF> d16;
  const auto joined = [&](int i)
                          HWY_ATTR { return hn::ConcatEven(d16, hn::BitCast(d16, v[i + 1]), hn::BitCast(d16, v[i])); };
  const auto store = [&](auto d, auto integers) HWY_ATTR {
    hn::StoreU(hn::Add(integers, hn::Set(d, static_cast<U>(added))), d, to);
    to += hn::Lanes(d);
  };
  if constexpr (kVectors > 1 && sizeof(T) == 2) {
    for (int i = 0; i < kVectors; i += 2) store(d16, joined(i));
    return;
  } else if constexpr (kVectors == 4) {
    const hn::Repartition<uint8_t, DF> d8;
    return store(d8, hn::ConcatEven(d8, hn::BitCast(d8, joined(2)), hn::BitCast(d8, joined(0))));
  } else if constexpr (kVectors == 2) {
    const hn::Rebind<uint8_t, decltype(d16)> d8;
    return store(d8, hn::TruncateTo(d8, joined(0)));
  }
#endif
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<U, DF> narrow;
  const size_t lanes = hn::Lanes(du);
  for (int i = 0; i < kVectors; ++i, to += lanes) {
    const auto integers =
        hn::Add(hn::TruncateTo(narrow, hn::BitCast(du, v[i])), hn::Set(narrow, static_cast<U>(added)));
    if (count == lanes) {
      hn::StoreU(integers, narrow, to);
      continue;
    }
    HWY_ALIGN U copy[HWY_MAX_BYTES / sizeof(float)];
    hn::StoreU(integers, narrow, copy);
    std::memcpy(to, copy, count * sizeof(U));
  }
}

template <int kVectors>
HWY_INLINE void store_floats(const VF (&v)[kVectors], float* y, size_t count) {
  const DF d;
  for (int i = 0; i < kVectors; ++i, y += hn::Lanes(d)) {
    if (count == hn::Lanes(d)) {
      hn::StoreU(v[i], d, y);
      continue;
    }
    HWY_ALIGN float copy[HWY_MAX_BYTES / sizeof(float)];
    hn::Store(v[i], d, copy);
    std::memcpy(y, copy, count * sizeof(float));
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

// Adjacent results: scales, sums, operands and the result at their first one.
struct Run {
  const float* scales;  // null: one for all
  const int32_t* sums;
  std::byte* y;
  std::array<const std::byte*, IntEpilogue::kMaxOperands> operands;
};

// All stages in turn on kVectors vectors, the last one of `count` elements.
template <typename T, int kVectors>
HWY_INLINE void any_stages(const std::vector<IntStage>& stages, const Run& run, int64_t at, size_t count) {
  const DF d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  VF v[kVectors];
  const auto each = [&](auto&& f) HWY_ATTR {
    for (int i = 0; i < kVectors; ++i) f(v[i], at + i * lanes);
  };
  const VF one_scale = hn::Set(d, stages[0].scales[0]);
  each([&](VF& value, int64_t i) HWY_ATTR {
    const VF scale = run.scales == nullptr ? one_scale : hn::LoadU(d, run.scales + i);
    value = hn::Mul(hn::ConvertTo(d, hn::LoadU(DI(), run.sums + i)), scale);
  });
  size_t operand = 0;
  for (size_t stage = 1; stage < stages.size(); ++stage) {
    const IntStage& s = stages[stage];
    const VF scale = hn::Set(d, s.scale), zero = hn::Set(d, s.zero);
    switch (s.kind) {
      case IntStage::Kind::kScale: each([&](VF& value, int64_t) HWY_ATTR { value = hn::Mul(value, scale); }); break;
      case IntStage::Kind::kClip:
        each([&](VF& value, int64_t) HWY_ATTR { value = limited(value, s.low, s.high); });
        break;
      case IntStage::Kind::kAdd: {
        const std::byte* floats = run.operands[operand++];
        each([&](VF& value, int64_t i) HWY_ATTR { value = hn::Add(value, load_floats(floats + 4 * i, count)); });
        break;
      }
      case IntStage::Kind::kQuantize: each([&](VF& value, int64_t) HWY_ATTR { value = quantized(value, s); }); break;
      case IntStage::Kind::kDequantize:
        each([&](VF& value, int64_t) HWY_ATTR { value = hn::Mul(hn::Sub(value, zero), scale); });
        break;
      case IntStage::Kind::kAddQuantized: {
        const std::byte* bytes = run.operands[operand++];
        each([&](VF& value, int64_t i) HWY_ATTR {
          const VF q =
              s.operand_is_signed ? load_integers<int8_t>(bytes + i, count) : load_integers<uint8_t>(bytes + i, count);
          value = hn::Add(value, hn::Mul(hn::Sub(q, zero), scale));
        });
        break;
      }
    }
  }
  T* y = reinterpret_cast<T*>(run.y) + at;
  if constexpr (std::is_same_v<T, float>) {
    store_floats(v, y, count);
  } else {
    hn::Vec<DI> integers[kVectors];
    for (int i = 0; i < kVectors; ++i) integers[i] = hn::BitCast(DI(), hn::Add(v[i], hn::Set(d, kRound)));
    store_low_bits(integers, 0, y, count);
  }
}

// Scale and quantization: what most layers do. Limits that are integers may be taken before rounding.
template <typename T, bool kDivides, bool kFactor>
class Requantizer {
 public:
  explicit Requantizer(const IntEpilogue& epilogue)
      : low_(hn::Set(DF(), epilogue.stages().back().low - epilogue.stages().back().zero)),
        high_(hn::Set(DF(), epilogue.stages().back().high - epilogue.stages().back().zero)),
        factor_(hn::Set(DF(), epilogue.stages().back().scale)),
        one_scale_(hn::Set(DF(), epilogue.stages()[0].scales[0])),
        zero_(static_cast<int32_t>(epilogue.stages().back().zero)) {}

  template <int kVectors>
  HWY_INLINE void operator()(const Run& run, int64_t at, size_t count) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
    hn::Vec<DI> steps[kVectors];
    for (int i = 0; i < kVectors; ++i) steps[i] = steps_at(run, at + i * lanes);
    store_low_bits(steps, zero_, reinterpret_cast<T*>(run.y) + at, count);
  }

 private:
  HWY_INLINE hn::Vec<DI> steps_at(const Run& run, int64_t at) const {
    const DF d;
    const VF scale = run.scales == nullptr ? one_scale_ : hn::LoadU(d, run.scales + at);
    VF v = hn::Mul(hn::ConvertTo(d, hn::LoadU(DI(), run.sums + at)), scale);
    if constexpr (kFactor) v = kDivides ? hn::Div(v, factor_) : hn::Mul(v, factor_);
    return hn::BitCast(DI(), hn::Add(hn::Min(hn::Max(v, low_), high_), hn::Set(d, kRound)));
  }
  VF low_, high_, factor_, one_scale_;
  int32_t zero_;
};

// Calls f<vectors>(run, offset, elements of the last vector) for `count` adjacent results.
template <class F>
HWY_INLINE void each_vector(const Run& run, int64_t count, F&& f) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
  int64_t at = 0;
  for (; at + 4 * lanes <= count; at += 4 * lanes) f.template operator()<4>(run, at, static_cast<size_t>(lanes));
  if (at + 2 * lanes <= count) {
    f.template operator()<2>(run, at, static_cast<size_t>(lanes));
    at += 2 * lanes;
  }
  for (; at < count; at += lanes) {
    f.template operator()<1>(run, at, static_cast<size_t>(std::min(lanes, count - at)));
  }
}

// Cuts a tile into runs. Rows without a gap are one run as far as the table of scales goes.
template <typename T, class F>
HWY_INLINE void each_run(const IntEpilogue& epilogue, const EpilogueTile& tile, const IntEpilogue::Rows& to, F&& f) {
  const auto& stages = epilogue.stages();
  const bool one_scale = stages[0].scales.size() == 1;
  std::array<int64_t, IntEpilogue::kMaxOperands> operand_bytes{};
  size_t operands = 0;
  for (const IntStage& s : stages) {
    if (s.kind == IntStage::Kind::kAdd) operand_bytes[operands++] = sizeof(float);
    if (s.kind == IntStage::Kind::kAddQuantized) operand_bytes[operands++] = 1;
  }
  const auto run_at = [&](int64_t sum, int64_t at, int64_t channel) HWY_ATTR {
    Run run{one_scale ? nullptr : stages[0].scales.data() + channel,
            tile.sums + sum,
            static_cast<std::byte*>(to.y) + at * static_cast<int64_t>(sizeof(T)),
            {}};
    for (size_t i = 0; i < operands; ++i) {
      run.operands[i] = static_cast<const std::byte*>(to.operands[i]) + at * operand_bytes[i];
    }
    return run;
  };
  const bool dense = tile.ld == tile.count && tile.step == tile.count && tile.count == epilogue.channels();
  if (!dense || tile.column != 0) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      each_vector(run_at(r * tile.ld, tile.at + r * tile.step, tile.column), tile.count, f);
    }
    return;
  }
  const int64_t count = tile.rows * tile.count, most = one_scale ? count : epilogue_columns(tile.count);
  for (int64_t i = 0; i < count; i += most) {
    each_vector(run_at(i, tile.at + i, 0), std::min(most, count - i), f);
  }
}

template <typename T>
HWY_INLINE void apply_as(const IntEpilogue& epilogue, const EpilogueTile& tile, const IntEpilogue::Rows& to) {
  if constexpr (std::is_integral_v<T>) {
    const IntStage& q = epilogue.stages().back();
    if (epilogue.stages().size() == 2 && q.kind == IntStage::Kind::kQuantize) {
      if (q.scale == 1) return each_run<T>(epilogue, tile, to, Requantizer<T, false, false>(epilogue));
      if (q.divides) return each_run<T>(epilogue, tile, to, Requantizer<T, true, true>(epilogue));
      return each_run<T>(epilogue, tile, to, Requantizer<T, false, true>(epilogue));
    }
  }
  each_run<T>(epilogue, tile, to, [&]<int kVectors>(const Run& run, int64_t at, size_t count) HWY_ATTR {
    any_stages<T, kVectors>(epilogue.stages(), run, at, count);
  });
}

void apply(const IntEpilogue& epilogue, const EpilogueTile& tile, const IntEpilogue::Rows& to) {
  switch (epilogue.result()) {
    case DType::kFloat32: return apply_as<float>(epilogue, tile, to);
    case DType::kInt8: return apply_as<int8_t>(epilogue, tile, to);
    case DType::kUInt8: return apply_as<uint8_t>(epilogue, tile, to);
    default: return apply_as<int16_t>(epilogue, tile, to);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(apply);

namespace {

constexpr int64_t kColumns = 64;  // that four of the longest vectors hold

// The integer that quantization gives for a value.
float quantized(const IntStage& q, float value) {
  const float steps = std::nearbyint(q.divides ? value / q.scale : value * q.scale) + q.zero;
  return std::min(std::max(steps, q.low), q.high);
}

// Quantization does not decrease, so that limits before it are limits of its result.
void merge_limits(std::vector<IntStage>& stages) {
  for (size_t i = 1; i + 1 < stages.size();) {
    IntStage& q = stages[i + 1];
    if (stages[i].kind != IntStage::Kind::kClip || q.kind != IntStage::Kind::kQuantize || !(q.scale > 0)) {
      ++i;
      continue;
    }
    const float low = quantized(q, stages[i].low), high = quantized(q, stages[i].high);
    q.low = low;
    q.high = high;
    stages.erase(stages.begin() + static_cast<ptrdiff_t>(i));
  }
}

}  // namespace

int64_t epilogue_columns(int64_t channels) {
  constexpr int64_t kMostPixels = 8;
  const int64_t columns = std::lcm(channels, kColumns);
  return channels <= kColumns || columns <= kMostPixels * channels ? columns : channels;
}

IntEpilogue::IntEpilogue(std::vector<IntStage> stages, int64_t channels, DType result)
    : stages_(std::move(stages)), channels_(channels), result_(result) {
  AMCT_CHECK(stages_.empty() ? result == DType::kInt32 : stages_[0].kind == IntStage::Kind::kScale,
             "sums are scaled first");
  merge_limits(stages_);
  for (IntStage& s : stages_) {
    if (s.scales.size() <= 1) continue;
    std::vector<float> columns(static_cast<size_t>(epilogue_columns(channels) + kColumns));
    for (size_t i = 0; i < columns.size(); ++i) columns[i] = s.scales[i % static_cast<size_t>(channels)];
    s.scales = std::move(columns);
  }
}

void IntEpilogue::apply(const int32_t* sums, int64_t ld, int64_t row, int64_t rows, int64_t first, int64_t count,
                        const Rows& to) const {
  apply_epilogue(*this, {sums, ld, rows, count, first, row * channels_ + first, channels_}, to);
}

void apply_epilogue(const IntEpilogue& epilogue, const EpilogueTile& tile, const IntEpilogue::Rows& to) {
  if (!epilogue.stages().empty()) return HWY_DYNAMIC_DISPATCH(apply)(epilogue, tile, to);
  for (int64_t r = 0; r < tile.rows; ++r) {
    std::copy_n(tile.sums + r * tile.ld, tile.count, static_cast<int32_t*>(to.y) + tile.at + r * tile.step);
  }
}

}  // namespace amct
#endif  // HWY_ONCE

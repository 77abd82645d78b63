#include "kernels/simd/int_epilogue.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "kernels/simd/int_epilogue_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/int_epilogue.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "kernels/simd/int_epilogue-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

HWY_INLINE VF scaled(const Run& run, int64_t at, VF one_scale) {
  const DF d;
  const VF scale = run.scales == nullptr ? one_scale : hn::LoadU(d, run.scales + at);
  return hn::Mul(hn::ConvertTo(d, hn::LoadU(DI(), run.sums + at)), scale);
}

// The nearest integers within limits that are integers; `round` holds kRound.
HWY_INLINE VF rounded(VF v, VF low, VF high, VF round) { return hn::Add(hn::Min(hn::Max(v, low), high), round); }

// v[i] = f(v[i], at + i vectors)
template <int kVectors, class F>
HWY_INLINE void each(VF (&v)[kVectors], int64_t at, F f) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(DF()));
  for (int i = 0; i < kVectors; ++i) v[i] = f(v[i], at + i * lanes);
}

// All stages in turn on kVectors vectors, the last one of `count` elements.
template <typename T, int kVectors>
HWY_INLINE void any_stages(const std::vector<IntStage>& stages, const Run& run, int64_t at, size_t count) {
  const DF d;
  VF v[kVectors];
  const VF one_scale = hn::Set(d, stages[0].scales[0]);
  each(v, at, [&](VF, int64_t i) HWY_ATTR { return scaled(run, i, one_scale); });
  size_t operand = 0;
  for (size_t stage = 1; stage < stages.size(); ++stage) {
    const IntStage& s = stages[stage];
    const VF scale = hn::Set(d, s.scale), zero = hn::Set(d, s.zero);
    switch (s.kind) {
      case IntStage::Kind::kScale: each(v, at, [&](VF x, int64_t) HWY_ATTR { return hn::Mul(x, scale); }); break;
      case IntStage::Kind::kClip: each(v, at, [&](VF x, int64_t) HWY_ATTR { return limited(x, s.low, s.high); }); break;
      case IntStage::Kind::kAdd: {
        const std::byte* floats = run.operands[operand++];
        each(v, at, [&](VF x, int64_t i) HWY_ATTR { return hn::Add(x, load<float>(floats + 4 * i, count)); });
        break;
      }
      case IntStage::Kind::kQuantize: each(v, at, [&](VF x, int64_t) HWY_ATTR { return quantized(x, s); }); break;
      case IntStage::Kind::kDequantize:
        each(v, at, [&](VF x, int64_t) HWY_ATTR { return hn::Mul(hn::Sub(x, zero), scale); });
        break;
      case IntStage::Kind::kAddQuantized: {
        const std::byte* bytes = run.operands[operand++];
        each(v, at, [&](VF x, int64_t i) HWY_ATTR {
          const VF q =
              s.operand_is_signed ? load_integers<int8_t>(bytes + i, count) : load_integers<uint8_t>(bytes + i, count);
          return hn::Add(x, hn::Mul(hn::Sub(q, zero), scale));
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
    VF v = scaled(run, at, one_scale_);
    if constexpr (kFactor) v = kDivides ? hn::Div(v, factor_) : hn::Mul(v, factor_);
    return hn::BitCast(DI(), rounded(v, low_, high_, hn::Set(DF(), kRound)));
  }
  VF low_, high_, factor_, one_scale_;
  int32_t zero_;
};

// Requantization, a quantized operand, quantization: a layer whose result is added to another's. Between the first two
// the zero point cancels out.
template <typename T, typename Operand>
class ResidualRequantizer {
 public:
  explicit ResidualRequantizer(const std::vector<IntStage>& stages)
      : first_(stages[1]), back_(stages[2]), added_(stages[3]), last_(stages[4]), one_scale_(stages[0].scales[0]) {}

  static bool fits(const std::vector<IntStage>& s) {
    using Kind = IntStage::Kind;
    return s.size() == 5 && s[1].kind == Kind::kQuantize && s[1].scale == 1 && s[2].kind == Kind::kDequantize &&
           s[1].zero == s[2].zero && s[3].kind == Kind::kAddQuantized && s[4].kind == Kind::kQuantize && s[4].divides;
  }

  template <int kVectors>
  HWY_INLINE void operator()(const Run& run, int64_t at, size_t count) const {
    const DF d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const VF round = hn::Set(d, kRound), one_scale = hn::Set(d, one_scale_);
    const VF low = hn::Set(d, first_.low - first_.zero), high = hn::Set(d, first_.high - first_.zero);
    const VF last_low = hn::Set(d, last_.low - last_.zero), last_high = hn::Set(d, last_.high - last_.zero);
    hn::Vec<DI> steps[kVectors];
    for (int i = 0; i < kVectors; ++i) {
      const VF own = hn::Sub(rounded(scaled(run, at + i * lanes, one_scale), low, high, round), round);
      const VF other = load_integers<Operand>(run.operands[0] + at + i * lanes, count);
      const VF sum = hn::Add(hn::Mul(own, hn::Set(d, back_.scale)),
                             hn::Mul(hn::Sub(other, hn::Set(d, added_.zero)), hn::Set(d, added_.scale)));
      const VF quotient = hn::Div(sum, hn::Set(d, last_.scale));
      steps[i] = hn::BitCast(DI(), rounded(quotient, last_low, last_high, round));
    }
    store_low_bits(steps, static_cast<int32_t>(last_.zero), reinterpret_cast<T*>(run.y) + at, count);
  }

 private:
  const IntStage &first_, &back_, &added_, &last_;
  float one_scale_;
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
    if (ResidualRequantizer<T, int8_t>::fits(epilogue.stages())) {
      return epilogue.stages()[3].operand_is_signed
                 ? each_run<T>(epilogue, tile, to, ResidualRequantizer<T, int8_t>(epilogue.stages()))
                 : each_run<T>(epilogue, tile, to, ResidualRequantizer<T, uint8_t>(epilogue.stages()));
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
    AMCT_CHECK(s.scales.size() <= 1 || static_cast<int64_t>(s.scales.size()) == channels, "one scale for each channel");
    AMCT_CHECK(s.kind != IntStage::Kind::kScale || !s.scales.empty(), "a scale");
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

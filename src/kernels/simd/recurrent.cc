#include "kernels/simd/recurrent.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd/recurrent.cc"
#include <hwy/foreach_target.h>
// After foreach_target.
#include <hwy/highway.h>

#include "kernels/simd/float_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace amct {
namespace HWY_NAMESPACE {

FloatVec apply_gate(const GateFunction& function, FloatVec x) {
  const FloatTag d;
  const FloatVec zero = hn::Zero(d);
  const FloatVec one = hn::Set(d, 1.0f);
  const FloatVec alpha = hn::Set(d, function.alpha);
  const FloatVec beta = hn::Set(d, function.beta);
  switch (function.kind) {
    case GateKind::kSigmoid: return sigmoid_of(d, x);
    case GateKind::kTanh: return tanh_of(d, x);
    case GateKind::kRelu: return at_least(x, zero);
    case GateKind::kAffine: return hn::MulAdd(alpha, x, beta);
    case GateKind::kLeakyRelu: return hn::IfThenElse(hn::Lt(x, zero), hn::Mul(alpha, x), x);
    case GateKind::kThresholdedRelu: return hn::IfThenElse(hn::Le(x, alpha), zero, x);
    case GateKind::kScaledTanh: return hn::Mul(alpha, tanh_of(d, hn::Mul(beta, x)));
    case GateKind::kHardSigmoid: return at_most(at_least(hn::MulAdd(alpha, x, beta), zero), one);
    case GateKind::kElu: return elu_of(d, x, alpha, one);
    case GateKind::kSoftsign: return hn::Div(x, hn::Add(one, hn::Abs(x)));
    case GateKind::kSoftplus: return softplus_of(d, x);
  }
  return x;
}

HWY_INLINE FloatVec clipped(FloatVec x, float clip) {
  const FloatVec limit = hn::Set(FloatTag(), clip);
  return at_most(at_least(x, hn::Neg(limit)), limit);
}

int64_t lanes_of_target() { return static_cast<int64_t>(hn::Lanes(FloatTag())); }

// The lanes of block `block` that are hidden units.
HWY_INLINE void store_units(FloatVec v, float* to, int64_t block, int64_t hidden) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if ((block + 1) * lanes <= hidden) return hn::StoreU(v, d, to + block * lanes);
  HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, tail);
  std::memcpy(to + block * lanes, tail, static_cast<size_t>(hidden - block * lanes) * sizeof(float));
}

HWY_INLINE FloatVec load_units(const float* from, int64_t block, int64_t hidden) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if ((block + 1) * lanes <= hidden) return hn::LoadU(d, from + block * lanes);
  HWY_ALIGN float tail[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(tail, from + block * lanes, static_cast<size_t>(hidden - block * lanes) * sizeof(float));
  return hn::Load(d, tail);
}

// sum[row][block][gate] += over k of h[row][k] w[block][k][gate]
template <int kRows, int kBlocks, int kGates>
HWY_INLINE void multiply_add(const float* HWY_RESTRICT w, const float* HWY_RESTRICT h, int64_t h_stride, int64_t depth,
                             FloatVec (&sum)[kRows][kBlocks][kGates]) {
  const FloatTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t block_size = depth * kGates * lanes;
  for (int64_t k = 0; k < depth; ++k, w += kGates * lanes) {
    FloatVec value[kRows];
    for (int row = 0; row < kRows; ++row) value[row] = hn::Set(d, h[row * h_stride + k]);
    for (int block = 0; block < kBlocks; ++block) {
      for (int gate = 0; gate < kGates; ++gate) {
        const FloatVec weight = hn::Load(d, w + block * block_size + gate * lanes);
        for (int row = 0; row < kRows; ++row) {
          sum[row][block][gate] = hn::MulAdd(weight, value[row], sum[row][block][gate]);
        }
      }
    }
  }
}

// What follows the sums of one block of one row.
struct Rnn {
  static constexpr int kGates = 1;
  HWY_INLINE static void finish(const RecurrentWeights& w, const RecurrentStep& s, const float* x, int64_t row,
                                int64_t block, const FloatVec (&sum)[1]) {
    const FloatVec in = hn::Add(hn::LoadU(FloatTag(), x), sum[0]);
    store_units(apply_gate(w.f, clipped(in, w.clip)), s.h_next + row * s.next_stride, block, w.hidden);
  }
};

struct Lstm {
  static constexpr int kGates = 4;
  HWY_INLINE static void finish(const RecurrentWeights& w, const RecurrentStep& s, const float* x, int64_t row,
                                int64_t block, const FloatVec (&sum)[4]) {
    const FloatTag d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    FloatVec in[4];
    for (int gate = 0; gate < 4; ++gate) in[gate] = hn::Add(hn::LoadU(d, x + gate * lanes), sum[gate]);
    float* c = s.c + row * s.padded + block * lanes;
    FloatVec state = hn::LoadU(d, c);
    const float* p = w.peephole ? w.peephole.view().as<float>() + block * 3 * lanes : nullptr;
    if (p != nullptr) {
      in[0] = hn::MulAdd(hn::Load(d, p), state, in[0]);
      in[2] = hn::MulAdd(hn::Load(d, p + 2 * lanes), state, in[2]);
    }
    const FloatVec input = apply_gate(w.f, clipped(in[0], w.clip));
    const FloatVec forget = w.input_forget ? hn::Sub(hn::Set(d, 1.0f), input) : apply_gate(w.f, clipped(in[2], w.clip));
    state = hn::MulAdd(forget, state, hn::Mul(input, apply_gate(w.g, clipped(in[3], w.clip))));
    hn::StoreU(state, d, c);
    if (p != nullptr) in[1] = hn::MulAdd(hn::Load(d, p + lanes), state, in[1]);
    const FloatVec output = apply_gate(w.f, clipped(in[1], w.clip));
    store_units(hn::Mul(output, apply_gate(w.h, state)), s.h_next + row * s.next_stride, block, w.hidden);
  }
};

// Gate `gate` of a GRU, z or r, from its sum.
HWY_INLINE FloatVec gru_gate(const RecurrentWeights& w, const float* x, int64_t gate, FloatVec sum) {
  const FloatTag d;
  const FloatVec in = hn::Add(hn::LoadU(d, x + gate * static_cast<int64_t>(hn::Lanes(d))), sum);
  return apply_gate(w.f, clipped(in, w.clip));
}

// h' = (1 - z) n + z h, n from what enters the new gate.
HWY_INLINE void finish_gru(const RecurrentWeights& w, const RecurrentStep& s, int64_t row, int64_t block, FloatVec z,
                           FloatVec in) {
  const FloatVec n = apply_gate(w.g, clipped(in, w.clip));
  const FloatVec h = load_units(s.h + row * s.h_stride, block, w.hidden);
  store_units(hn::MulAdd(z, hn::Sub(h, n), n), s.h_next + row * s.next_stride, block, w.hidden);
}

struct GruLinear {
  static constexpr int kGates = 3;
  HWY_INLINE static void finish(const RecurrentWeights& w, const RecurrentStep& s, const float* x, int64_t row,
                                int64_t block, const FloatVec (&sum)[3]) {
    const FloatTag d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const FloatVec z = gru_gate(w, x, 0, sum[0]), r = gru_gate(w, x, 1, sum[1]);
    const FloatVec linear = hn::Add(sum[2], hn::Load(d, w.bias_new.view().as<float>() + block * lanes));
    finish_gru(w, s, row, block, z, hn::MulAdd(r, linear, hn::LoadU(d, x + 2 * lanes)));
  }
};

// First pass: z and r h for all units.
struct GruGates {
  static constexpr int kGates = 2;
  HWY_INLINE static void finish(const RecurrentWeights& w, const RecurrentStep& s, const float* x, int64_t row,
                                int64_t block, const FloatVec (&sum)[2]) {
    const FloatTag d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const FloatVec z = gru_gate(w, x, 0, sum[0]), r = gru_gate(w, x, 1, sum[1]);
    const FloatVec h = load_units(s.h + row * s.h_stride, block, w.hidden);
    float* scratch = s.gates + row * 2 * s.padded + block * lanes;
    hn::StoreU(z, d, scratch);
    hn::StoreU(hn::Mul(r, h), d, scratch + s.padded);
  }
};

// Second pass: n from r h.
struct GruNew {
  static constexpr int kGates = 1;
  HWY_INLINE static void finish(const RecurrentWeights& w, const RecurrentStep& s, const float* x, int64_t row,
                                int64_t block, const FloatVec (&sum)[1]) {
    const FloatTag d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    const FloatVec z = hn::LoadU(d, s.gates + row * 2 * s.padded + block * lanes);
    finish_gru(w, s, row, block, z, hn::Add(hn::LoadU(d, x + 2 * lanes), sum[0]));
  }
};

template <class Cell, int kRows, int kBlocks>
HWY_INLINE void tile(const RecurrentWeights& w, const RecurrentStep& s, const float* weights, const float* h,
                     int64_t h_stride, int64_t row, int64_t block) {
  const FloatTag d;
  FloatVec sum[kRows][kBlocks][Cell::kGates];
  for (auto& of_row : sum) {
    for (auto& of_block : of_row) {
      for (FloatVec& v : of_block) v = hn::Zero(d);
    }
  }
  multiply_add<kRows, kBlocks, Cell::kGates>(weights, h + row * h_stride, h_stride, w.hidden, sum);
  const int64_t x_block = w.gates * static_cast<int64_t>(hn::Lanes(d));
  for (int r = 0; r < kRows; ++r) {
    for (int b = 0; b < kBlocks; ++b) {
      Cell::finish(w, s, s.x + (row + r) * s.x_stride + (block + b) * x_block, row + r, block + b, sum[r][b]);
    }
  }
}

// Blocks [first, last) of all rows. As many sums are open as hide the latency of an addition and fit the registers.
template <class Cell>
HWY_INLINE void all_rows(const RecurrentWeights& w, const RecurrentStep& s, const Tensor& packed, const float* h,
                         int64_t h_stride, int64_t first, int64_t last) {
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  constexpr int kTall = std::max(1, 4 / Cell::kGates);                   // blocks of a tile of several rows
  constexpr int kFlat = std::max(1, (7 + Cell::kGates) / Cell::kGates);  // of one row
  const float* weights = packed.view().as<float>();
  const int64_t block_size = w.hidden * Cell::kGates * static_cast<int64_t>(hn::Lanes(FloatTag()));
  int64_t row = 0;
  for (int64_t block = first; s.rows >= kRows && block < last;) {
    const bool several = block + kTall <= last;
    for (row = 0; row + kRows <= s.rows; row += kRows) {
      if (several) {
        tile<Cell, kRows, kTall>(w, s, weights + block * block_size, h, h_stride, row, block);
      } else {
        tile<Cell, kRows, 1>(w, s, weights + block * block_size, h, h_stride, row, block);
      }
    }
    block += several ? kTall : 1;
  }
  for (; row < s.rows; ++row) {
    int64_t block = first;
    for (; block + kFlat <= last; block += kFlat) {
      tile<Cell, 1, kFlat>(w, s, weights + block * block_size, h, h_stride, row, block);
    }
    for (; block < last; ++block) tile<Cell, 1, 1>(w, s, weights + block * block_size, h, h_stride, row, block);
  }
}

void step(const RecurrentWeights& w, const RecurrentStep& s, int64_t first, int64_t last) {
  switch (w.cell) {
    case RecurrentCell::kRnn: return all_rows<Rnn>(w, s, w.r, s.h, s.h_stride, first, last);
    case RecurrentCell::kLstm: return all_rows<Lstm>(w, s, w.r, s.h, s.h_stride, first, last);
    case RecurrentCell::kGru:
      if (w.linear_before_reset) return all_rows<GruLinear>(w, s, w.r, s.h, s.h_stride, first, last);
      return all_rows<GruGates>(w, s, w.r, s.h, s.h_stride, first, last);
  }
}

void second_pass(const RecurrentWeights& w, const RecurrentStep& s, int64_t first, int64_t last) {
  all_rows<GruNew>(w, s, w.r_new, s.gates + s.padded, 2 * s.padded, first, last);
}

}  // namespace HWY_NAMESPACE
}  // namespace amct
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace amct {

HWY_EXPORT(lanes_of_target);
HWY_EXPORT(step);
HWY_EXPORT(second_pass);

int64_t recurrent_lanes() { return HWY_DYNAMIC_DISPATCH(lanes_of_target)(); }

int64_t recurrent_padded(int64_t hidden) {
  const int64_t lanes = recurrent_lanes();
  return (hidden + lanes - 1) / lanes * lanes;
}

void pack_recurrent_rows(const float* rows, int64_t hidden, int64_t k, int64_t gates, int64_t k_stride,
                         int64_t block_stride, float* packed) {
  const int64_t lanes = recurrent_lanes();
  for (int64_t gate = 0; gate < gates; ++gate) {
    for (int64_t unit = 0; unit < recurrent_padded(hidden); ++unit) {
      float* to = packed + unit / lanes * block_stride + gate * lanes + unit % lanes;
      const float* from = rows + (gate * hidden + unit) * k;
      for (int64_t i = 0; i < k; ++i) to[i * k_stride] = unit < hidden ? from[i] : 0.0f;
    }
  }
}

void recurrent_step(const RecurrentWeights& w, const RecurrentStep& s, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(step)(w, s, first, last);
}

void recurrent_second_pass(const RecurrentWeights& w, const RecurrentStep& s, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(second_pass)(w, s, first, last);
}

}  // namespace amct
#endif  // HWY_ONCE

// The recurrent operators of Ascend deploy models (spec C.19, E.3): LSTM and GRU with integer weights, which quantize
// their input and, before every step, their state themselves.
//
//   q_x = sat(round_half_even(x * quant_scale_x) + quant_offset_x)        q_h likewise from the state, with ..._h
//   from_x = (W (q_x - offset_x) + B[0, G H)) * deq[0, G H)               integers, then one float32 factor a row
//   from_h = (R (q_h - offset_h) + B[G H, 2 G H)) * deq[G H, 2 G H)
//   lstm  i, o, f = sigmoid(from_x + from_h), g = tanh(from_x + from_h)
//         c' = f c + i g,  h' = o tanh(c')                                rows of W and R in the order i, o, f, g
//   gru   z, r = sigmoid(from_x + from_h), n = tanh(from_x + r from_h)
//         h' = (1 - z) n + z h                                            rows in the order z, r, n
//
// x (steps, batch, inputs), w int8 (1, G H, inputs), r int8 (1, G H, H), states (1, batch, H), b int32 (1, 2 G H),
// deq_scale uint64 (2 G H) packed as AscendDequant's parameter; outputs as ONNX has them. Ports stand in the order of
// the deploy operators, which is not that of ONNX.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/simd/fake_quant.h"
#include "kernels/simd/int_gemm.h"
#include "kernels/simd/recurrent.h"
#include "ops/op_row.h"

namespace amct {

// Where each input of a deploy operator stands; kNone = the operator has none.
struct AscendRecurrentPorts {
  static constexpr size_t kNone = 99;
  size_t x = 0, w = 1, r = 2, initial_h = 3, initial_c = kNone, b = kNone, lengths = kNone, clean_cache = kNone,
         deq_scale = kNone;
};
const AscendRecurrentPorts& ascend_recurrent_ports(RecurrentCell cell);

// The codes of `quant_dtype`.
inline constexpr int64_t kAscendInt8 = 2, kAscendInt16 = 6;

// Weights of one product, ready for the integer kernels, and what turns its sums into floats.
struct AscendProduct {
  PackedWeights weights;
  std::vector<int64_t> bias;   // by row
  std::vector<float> factors;  // by row
  QuantizeSpec spec;
  bool wide = false;  // 64-bit sums, where 32 bits do not hold those of this depth

  int64_t rows() const { return weights.rows(); }
  // Integers of scratch memory for `count` vectors.
  size_t scratch_bytes(int64_t count) const;
  // y (count, rows) from x (count, depth).
  void run(const float* x, int64_t count, float* y, std::byte* scratch) const;
};

// The factors of a dequantization parameter of `rows` rows in each half, one for every row; a parameter that has them
// by gate has as many as there are gates in each half. Throws Error(kUnsupported) where it holds weight offsets or
// shifts.
std::vector<float> ascend_recurrent_factors(const TensorView& deq_scale, int64_t rows);

// Throw Error(kUnsupported) for dequantization parameters that hold weight offsets or shifts.
void run_ascend_recurrent(RunContext& c, RecurrentCell cell);
std::unique_ptr<Step> lower_ascend_recurrent(const LowerContext& c, RecurrentCell cell);

}  // namespace amct

// One time step of a recurrent layer in float32: the product with the recurrent weights and, in registers behind it,
// the gates.
//
// Hidden units go in blocks of as many as a vector has lanes. The packed weights of a block hold, for every hidden unit
// k that it reads, one vector per gate; the projected inputs (W x + biases) have the same order: (block, gate, lane).
// So the sums of all gates of a block are in registers when its last k is done.
//
//   rnn   h' = f(x + R h)
//   gru   z, r = f(x + R h);  n = g(xn + Rn (r h))  or, linear before reset,  n = g(xn + r (Rn h + bn));  h' = (1 - z)
//   n + z h lstm  i, f = f(x + R h + P c);  c' = f c + i g(x + R h);  o = f(x + R h + P c');  h' = o h(c')
#pragma once

#include <cstdint>

#include "ir/tensor.h"

namespace amct {

enum class RecurrentCell { kRnn, kGru, kLstm };

// The activation functions that the standard names for recurrent operators.
enum class GateKind {
  kSigmoid,
  kTanh,
  kRelu,
  kAffine,           // alpha x + beta
  kLeakyRelu,        // x < 0 ? alpha x : x
  kThresholdedRelu,  // x > alpha ? x : 0
  kScaledTanh,       // alpha tanh(beta x)
  kHardSigmoid,      // min(max(alpha x + beta, 0), 1)
  kElu,              // x < 0 ? alpha (exp(x) - 1) : x
  kSoftsign,         // x / (1 + |x|)
  kSoftplus,         // log(1 + exp(x))
};

struct GateFunction {
  GateKind kind = GateKind::kTanh;
  float alpha = 0;
  float beta = 0;
};

// What a direction of a layer computes with.
struct RecurrentWeights {
  RecurrentCell cell = RecurrentCell::kRnn;
  int64_t gates = 1;
  int64_t hidden = 0;
  bool linear_before_reset = false;  // gru
  bool input_forget = false;         // lstm: f = 1 - i
  float clip = 0;                    // of what enters f, g; infinity = none
  GateFunction f, g, h;
  // Packed densely by pack_recurrent_rows; gru's `r` has z and r alone where n has weights of its own.
  Tensor r;
  Tensor r_new;     // gru, not linear before reset: those of n
  Tensor bias_new;  // gru, linear before reset: bn, (blocks, lanes)
  Tensor peephole;  // lstm: (blocks, 3, lanes) of i, o, f; may be absent
};

// One step of `rows` sequences. Rows of `h` and `h_next` have `hidden` elements, all others whole blocks.
struct RecurrentStep {
  int64_t rows = 1;
  int64_t padded = 0;        // recurrent_padded(hidden)
  const float* x = nullptr;  // projected inputs, biases included
  int64_t x_stride = 0;      // between rows, in elements
  const float* h = nullptr;
  int64_t h_stride = 0;
  float* h_next = nullptr;
  int64_t next_stride = 0;
  float* c = nullptr;      // lstm: (rows, padded), the cell state, updated
  float* gates = nullptr;  // gru, not linear before reset: (rows, 2, padded): z and r h
};

int64_t recurrent_lanes();                 // hidden units of a block on this processor
int64_t recurrent_padded(int64_t hidden);  // whole blocks

// Weights (gates hidden, k), row-major, to (block, k, gate, lane) with these strides between blocks and between k, in
// elements; units beyond `hidden` become zero.
void pack_recurrent_rows(const float* rows, int64_t hidden, int64_t k, int64_t gates, int64_t k_stride,
                         int64_t block_stride, float* packed);

// True if a step takes two passes over the blocks, the second reading what the first stored for all of them.
inline bool has_second_pass(const RecurrentWeights& w) {
  return w.cell == RecurrentCell::kGru && !w.linear_before_reset;
}

// Computes blocks [first, last). `h_next` must not overlap `h`.
void recurrent_step(const RecurrentWeights& w, const RecurrentStep& step, int64_t first, int64_t last);
void recurrent_second_pass(const RecurrentWeights& w, const RecurrentStep& step, int64_t first, int64_t last);

}  // namespace amct

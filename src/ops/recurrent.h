// What rnn, gru and lstm share: ports, shape and coupling rules, activation functions, the walk over time.
//
// Ports: x, w, r, b, sequence_lens, initial_h, and for lstm initial_c, p; outputs y, y_h, and for lstm y_c. With D
// directions, G gates, H hidden units: x (steps, batch, inputs), w (D, G H, inputs), r (D, G H, H), b (D, 2 G H) =
// biases of w, then of r; y (steps, D, batch, H), states (D, batch, H). With layout 1 the batch comes first everywhere
// but in the weights.
//
// A direction walks over the first sequence_lens[n] steps of sample n, backwards in the reverse direction. Beyond them
// y is zero; the states are those after the last step of the walk, and zero for an empty sequence (as ONNX Runtime has
// it). Activation functions see values clipped to +-clip; the LSTM's cell state enters its function as it is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/simd/recurrent.h"
#include "ops/op_row.h"

namespace amct {

namespace recurrent {
enum Input : size_t { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeephole };
enum Output : size_t { kY, kYh, kYc };
}  // namespace recurrent

// A node with concrete extents.
struct Recurrence {
  RecurrentCell cell = RecurrentCell::kRnn;
  int64_t gates = 1, functions_each = 1;  // functions of a direction
  int64_t steps = 0, batch = 0, inputs = 0, hidden = 0, directions = 1;
  bool batch_first = false;
  bool reverse = false;  // the only direction goes backwards
  bool input_forget = false, linear_before_reset = false;
  double clip = 0;                      // infinity = none
  std::vector<GateFunction> functions;  // directions x functions_each

  bool backwards(int64_t direction) const { return reverse || direction == 1; }
  const GateFunction* functions_of(int64_t direction) const { return &functions[direction * functions_each]; }
  // Where a row of hidden units stands, in elements.
  int64_t y_offset(int64_t step, int64_t direction, int64_t sample) const {
    return (batch_first ? (sample * steps + step) * directions + direction
                        : (step * directions + direction) * batch + sample) *
           hidden;
  }
  int64_t state_offset(int64_t direction, int64_t sample) const {
    return (batch_first ? sample * directions + direction : direction * batch + sample) * hidden;
  }
  int64_t x_offset(int64_t step, int64_t sample) const {
    return (batch_first ? sample * steps + step : step * batch + sample) * inputs;
  }
};

// From a node whose shapes have been checked, and the extents of x and r. Throws Error(kInput) on attributes that make
// no sense, Error(kUnsupported) on an activation function that the standard does not name.
Recurrence recurrence_of(const Node& node, RecurrentCell cell, const Dims& x, const Dims& r);

// The lengths that input sequence_lens holds. Throws Error(kInput) if one does not fit.
std::vector<int64_t> sequence_lengths(const TensorView& view, int64_t steps);

void infer_recurrent(InferContext& c, RecurrentCell cell);
void run_recurrent(RunContext& c, RecurrentCell cell);
std::unique_ptr<Step> lower_recurrent(const LowerContext& c, RecurrentCell cell);

// Why a gru or lstm layer cannot be quantized, every constraint that it violates; empty if it can (a QuantCheck).
std::string check_recurrent(const Graph& graph, const Node& node);

// The row without doc and samples.
OpRow recurrent_row(RecurrentCell cell);

// The versions of an operator: 1 had an attribute that said whether y is wanted, 14 brought `layout`.
std::vector<Spelling> recurrent_spellings(const std::string& type);

// A sample of `cell` from extents: all inputs up to `ports`, weights constant.
struct RecurrentSample {
  std::string name;
  int64_t steps, batch, inputs, hidden;
  size_t ports = 3;  // further ones are absent
  Attrs attrs = {};
  size_t outputs = 2;
  std::vector<int32_t> lengths = {};
  DType dtype = DType::kFloat32;
  bool constant = true;  // weights
};
Sample recurrent_sample(RecurrentCell cell, const RecurrentSample& s);

}  // namespace amct

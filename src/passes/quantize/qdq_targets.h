// Where the pairs of QuantizeLinear and DequantizeLinear stand for a runtime, as data: one row per target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

struct QdqTarget {
  std::string name;
  std::string runtime;        // for people: what the file is made for
  bool unsigned_activations;  // zero point = offset + 128 in an unsigned type, else a signed type
  bool symmetric;             // zero points are 0: the range is the larger of both sides
  bool integer_bias;          // biases are int32 behind a DequantizeLinear, else float
  // An Add takes the result of a layer in that nothing else reads: one such input has no pair, nor has the sum unless
  // somebody needs it so.
  bool adds_in_layer;
  bool packed_int4;                  // weights of 4 bits are INT4, two in a byte, else int8
  std::vector<int> activation_bits;  // what the runtime takes
  std::vector<int> group_bits;       // widths of stored weights in groups that it takes beside 8-bit activations
  bool partial_groups;               // the last group may be smaller
  // Operators computed in integers when all they read and give is quantized.
  std::vector<std::string> quantized_both_sides;
  // Operators that vanish between a layer and its quantizer when the quantizer's range lies inside theirs.
  std::vector<std::string> absorbed;
  // Layers that may give floats: their output is quantized only where somebody needs it so.
  std::vector<std::string> float_output;
};

inline constexpr std::string_view kDefaultQdqTarget = "ort";

const std::vector<QdqTarget>& qdq_targets();
std::vector<std::string> qdq_target_names();
// Throws Error(kConfig) for an unknown name, with the closest known one.
const QdqTarget& qdq_target(std::string_view name);

// Throws ErrorList of Error(kConfig) naming every layer and tensor of the plan with a width or groups of weights that
// the target does not take.
void check_qdq_target(const Graph& graph, const Plan& plan, const QdqTarget& target);

}  // namespace amct

// Where the pairs of QuantizeLinear and DequantizeLinear stand for a runtime, as data: one row per target.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace amct {

struct QdqTarget {
  std::string name;
  std::string runtime;        // for people: what the file is made for
  bool unsigned_activations;  // uint8 with zero point = offset + 128, else int8
  bool symmetric;             // zero points are 0: the range is the larger of both sides
  // Operators computed in integers when all they read and give is quantized.
  std::vector<std::string> quantized_both_sides;
  // Operators that vanish between a layer and its quantizer when the quantizer's range lies inside theirs.
  std::vector<std::string> absorbed;
  // Layers that may give floats: their output is quantized only where somebody needs it so.
  std::vector<std::string> float_output;
};

const std::vector<QdqTarget>& qdq_targets();
// Throws Error(kConfig) for an unknown name, with the closest known one.
const QdqTarget& qdq_target(std::string_view name);

}  // namespace amct

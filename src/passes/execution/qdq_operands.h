// What stands between the integers of a Q/DQ graph and its float operators.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph.h"

namespace amct {

// What a dequantize_linear with constant parameters hides: value = (integers - zero) * scale.
struct IntegersBehind {
  NodeId node;  // the dequantize_linear
  ValueId integers;
  DType dtype = DType::kUndefined;  // of the integers
  ValueId scale, zero;              // zero may be absent
  int64_t axis = 0;
  Tensor scales;               // float32
  std::vector<int64_t> zeros;  // as many as scales
  bool per_tensor() const { return scales.size() == 1; }
  bool is_8_bit() const { return dtype == DType::kInt8 || dtype == DType::kUInt8; }
};
std::optional<IntegersBehind> integers_behind(const Graph& graph, ValueId value);

// A quantize_linear with one constant scale behind a value, to int8 or uint8.
struct Requantizer {
  NodeId node;
  std::vector<NodeId> dropped;  // limits between the value and the quantizer that it implies
  ValueId scale, zero;          // zero may be absent
  DType dtype = DType::kUndefined;
  float step = 1;
  int64_t zero_point = 0;
};
// The quantizer that alone reads `value`, directly or through ReLU and Clip that its own range implies.
std::optional<Requantizer> requantizer_behind(const Graph& graph, ValueId value);

// Removes quantizers and dequantizers whose results nobody reads any more.
void erase_unused_quantizers(Graph& graph);

}  // namespace amct

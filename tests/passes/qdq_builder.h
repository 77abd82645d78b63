// Graphs with QuantizeLinear and DequantizeLinear, for tests: each half alone, and both as one round trip.
#pragma once

#include <string>

#include "support/graphs.h"

namespace amct::testing {

class QdqBuilder {
 public:
  Graph graph;

  ValueId input(const Dims& dims, const std::string& name = "x") { return float_input(graph, dims, name); }
  ValueId number(const std::string& name, float value) { return graph.add_constant(name, Tensor::scalar(value)); }

  ValueId quantize(const std::string& name, ValueId x, float scale, int64_t zero, DType type = DType::kUInt8) {
    return op(graph, name, "quantize_linear", {x, number(name + ".s", scale), zero_point(name, zero, type)});
  }
  ValueId dequantize(const std::string& name, ValueId q, float scale, int64_t zero, DType type = DType::kUInt8) {
    return op(graph, name, "dequantize_linear", {q, number(name + ".s", scale), zero_point(name, zero, type)});
  }

  // x through a quantizer and back, by constants that both halves share; with `back`, by another scale back.
  ValueId round_trip(const std::string& name, ValueId x, float scale, int64_t zero, DType type = DType::kUInt8,
                     float back = 0) {
    const ValueId s = number(name + ".s", scale), z = zero_point(name, zero, type);
    const ValueId b = back != 0 ? number(name + ".b", back) : s;
    return op(graph, name + ".dq", "dequantize_linear", {op(graph, name + ".q", "quantize_linear", {x, s, z}), b, z});
  }

 private:
  ValueId zero_point(const std::string& name, int64_t zero, DType type) {
    return graph.add_constant(name + ".z", Tensor::scalar<int64_t>(zero).cast(type));
  }
};

}  // namespace amct::testing

// Constants that a quantized model stores as integers: behind a DequantizeLinear, with a QuantizeLinear before it or
// not, and transposed behind it or not.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"
#include "passes/quantize/qdq_pairs.h"

namespace amct {

// The integers that a float constant stands for, in the extents of the constant; signed, as the zero points are.
struct StoredConstant {
  std::vector<int64_t> integers;
  QdqFactors factors;  // `axis` of the constant, in [0, rank); -1 where the scales follow none of its axes
};

// Replaces every such DequantizeLinear by floats, a constant of its own for every use, and gives the integers by
// constant. Weights of a ConvTranspose come into the layout of the graph (ops/convolution.h), and scales along their
// output axis are repeated for every group. A DequantizeLinear whose result is a graph output stays.
std::unordered_map<ValueId, StoredConstant> restore_qdq_constants(Graph& graph);

}  // namespace amct

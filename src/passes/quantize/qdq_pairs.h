// The QuantizeLinear and DequantizeLinear nodes of a model that was quantized elsewhere, read and checked.
//
// q = sat(round_half_even(x / s) + z), x' = s * (q - z), z in the integers' own type. Ascend's integers are signed:
// offset = z for signed integers, z - 2^(bits - 1) for unsigned ones, and s stays (spec C.24).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace amct {

// The numbers of one such node.
struct QdqFactors {
  std::vector<float> scales;   // positive and finite; one, one per index of `axis`, or one per block
  std::vector<int64_t> zeros;  // as many, for signed integers
  DType integer = DType::kUndefined;
  int64_t axis = 1;  // as the node says it: may be negative; without meaning for a single scale
  int64_t block = 0;

  bool per_tensor() const { return scales.size() == 1 && block == 0; }
  bool operator==(const QdqFactors&) const = default;
};

// Throws Error(kUnsupported) for computed factors, scales that are not float32 and types that are no integers of 4, 8,
// 16 or 32 bits, Error(kNumeric) for scales that are not positive and finite.
QdqFactors read_qdq_factors(const Graph& graph, const Node& node);

// The zero point of all channels: that of the widest. Channels whose whole range is less than one step of the widest (a
// quantizer saw nothing but zeros there) may have another, others may not: then nullopt.
std::optional<int64_t> common_zero(const QdqFactors& factors);

// Integers of fewer values, as PyTorch writes them (QuantizeLinear, Clip, DequantizeLinear), become a Clip of floats
// before the QuantizeLinear: min(round(x / s) + z, b) = round(min(x, s (b - z)) / s) + z. Needs up-to-date types.
void move_clips_before_quantizers(Graph& graph);

// That every QuantizeLinear of an activation feeds DequantizeLinear nodes with its own factors, or is a graph output,
// that every DequantizeLinear reads one, and that the factors are per tensor, or per channel with one zero point in
// front of depthwise convolutions alone. Throws ErrorList with all faults, each naming both nodes of a pair. Needs
// up-to-date types.
void check_qdq_pairs(const Graph& graph);

}  // namespace amct

// Integers that are moved before they are dequantized, as TensorFlow Lite's models do it:
//
//   x -> Q -> Transpose -> DQ     becomes     x -> Transpose -> Q -> DQ
//
// so that every QuantizeLinear stands before its DequantizeLinear nodes, as elsewhere.
#pragma once

#include "ir/graph.h"

namespace amct {

// Moves QuantizeLinear nodes with one scale behind operators whose results are values of their first input, and behind
// Concat where all of its inputs have the same factors; results that are graph outputs stay integers where they are.
// Exact: these operators choose values, and choosing commutes with rounding. Leaves types up to date.
void move_quantizers_behind_movement(Graph& graph);

}  // namespace amct

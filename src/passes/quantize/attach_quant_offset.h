// Makes a deploy graph executable: what Ascend's compiler knows, its operators are told.
//
// The integers that ascend_quant gives hold the offset, and nothing in a deploy file takes it off. This pass follows
// them to the integer layers, through padding and whatever hands values on unchanged, and sets there
//   x_offset  of a layer: it subtracts the offset before it pads with zeros
//   the value of a Pad:   the offset, which is the integer of zero
// Bias constants of a MatMul whose sums need 64 bits are widened. The result is for the executor alone and is not
// exported.
#pragma once

#include "ir/graph.h"

namespace amct {

// A graph without ascend_quant is left as it is. Throws Error(kUnsupported) naming the operator when integers with an
// offset enter one that cannot take it into account. Returns the number of layers that were told an offset.
int attach_quant_offset(Graph& graph);

}  // namespace amct

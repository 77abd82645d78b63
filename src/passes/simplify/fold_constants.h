// Computes nodes of constants once, now.
//
// before -> after: y = f(c1, c2) with constants c1, c2   ->   constant y
//
// Runs the row's plain kernel, so that the numbers are those that the node would have computed. Bounded: a result may
// have 1 MB, or as many bytes as the inputs of the node if that is more, and all results that outgrow their inputs
// together 64 MB. Does not fire on random operators, opaque nodes, operators that unpack quantized numbers (the packed
// form is worth keeping), nodes without inputs of known size, and graph outputs.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fold_constants(Graph& graph, const PassContext& context);

}  // namespace amct

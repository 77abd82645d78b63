// Computes equal things once.
//
// before -> after: y = f(x, a); z = f(x, a)   ->   y = f(x, a), used for z as well
//
// Two nodes are equal when operator, attributes, inputs and the set of connected outputs are. Constants with equal
// type, extents and bytes are joined first, weights and biases of compute layers excepted: they belong to their layer.
// Does not fire on random operators, opaque nodes, and where two graph outputs would become one value.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport eliminate_common_subexpressions(Graph& graph, const PassContext& context);

}  // namespace amct

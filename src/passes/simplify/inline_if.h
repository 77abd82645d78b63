// Puts the branch of an If whose condition is constant in the If's place.
//
//   y = if(true, x, w) {then: y = relu(x), else: y = add(x, w)}   ->   y = relu(x)
//
// Nodes and values of the branch keep their names where these are free. A result that is a graph output and not
// computed by a node of the branch alone (a constant, a capture, another result) gets an identity, so that it keeps its
// name. Does not fire where the condition is computed, nor on opaque nodes.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport inline_if(Graph& graph, const PassContext& context);

}  // namespace amct

// Joins activations that are written as x times a gate of x:
//
//   x sigmoid(alpha x)       swish       x hard_sigmoid(x; 1/6, 1/2)   hard_swish
//   x tanh(softplus(x))      mish
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport join_gates(Graph& graph, const PassContext& context);

}  // namespace amct

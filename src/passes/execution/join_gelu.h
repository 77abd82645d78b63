// Joins the arithmetic that spells GELU, in any order of its products:
//
//   x/2 (1 + erf(x / sqrt 2))                          exact
//   x/2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))    by tanh
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport join_gelu(Graph& graph, const PassContext& context);

}  // namespace amct

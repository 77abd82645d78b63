// Removes nodes that hand one input through unchanged.
//
// before -> after: y = identity(x); z = f(y)   ->   z = f(x)
//
// Fires on identity; dropout outside training; cast to the type that the input has; reshape, flatten, squeeze,
// unsqueeze, expand, tile and slice (positive steps) whose result has the known shape of the input; transpose in the
// order of the input; pad by nothing; concat, sum, max, min and mean of one input; clip without bounds; and, bit for
// bit:
//   x + (-0), x - (+0), x * 1, x / 1, x ^ 1 (integers: x + 0, x - 0 as well)
// Does not fire on a float x + (+0), which turns -0 into +0; where the constant widens the result; where a second
// output (the mask of dropout) is used; where a graph output would lose its name.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport eliminate_identity(Graph& graph, const PassContext& context);

}  // namespace amct

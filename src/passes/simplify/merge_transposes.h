// Joins transposes that follow each other.
//
// before -> after: z = transpose(transpose(x, p), q)   ->   z = transpose(x, r), r[i] = p[q[i]]; z = x if r is the
// identity
//
// Does not fire where the first result has other uses and the two do not cancel: nothing would be gained.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport merge_transposes(Graph& graph, const PassContext& context);

}  // namespace amct

// Joins reshapes that follow each other: reshape, flatten, squeeze and unsqueeze in any mix.
//
// before -> after: z = reshape(squeeze(x), t)   ->   z = reshape(x, shape of z)
//
// The new target copies the first dim (0) where it is that of x, and holds -1 for one dim that is not fixed. Does not
// fire where the shape of z has more dims that are not fixed or empty dims, or where the first result has other uses.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport merge_reshapes(Graph& graph, const PassContext& context);

}  // namespace amct

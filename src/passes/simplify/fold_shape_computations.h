// Replaces values that follow from known shapes by constants.
//
// before -> after: s = shape(x); n = gather(s, 0); …; y = reshape(x, t)   ->   y = reshape(x, constant)
//
// With fixed shapes the whole chain of shape, gather, concat, cast and arithmetic becomes a constant: the shape rules
// follow such values while they infer types (ops/infer.h), and this pass writes them down. Does not fire on values that
// depend on a named or unknown dim or come through quantizers, on values of more than 4096 elements, on graph outputs.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fold_shape_computations(Graph& graph, const PassContext& context);

}  // namespace amct

// Removes nodes whose results nobody needs, and constants that nobody reads.
//
// before -> after: y = f(x) without uses   ->   nothing
//
// Graph inputs and variables stay. An opaque node stays too: nothing is known about what it does.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport eliminate_dead_code(Graph& graph, const PassContext& context);

}  // namespace amct

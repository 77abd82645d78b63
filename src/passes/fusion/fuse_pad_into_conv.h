// Folds explicit padding into the layer behind it.
//
// before -> after: y = conv(pad(x, p), pads q)   ->   y = conv(x, pads p + q)
//
// For constant padding, not negative, of spatial axes only, in front of
//   conv            with value 0 and explicit (or no) padding of its own
//   average_pool    with value 0: the zeros were counted, so count_include_pad becomes 1; its own padding must be none
//   or
//                   counted as well, and windows must not hang over the end (ceil_mode)
//   max_pool        with a value that never wins: -infinity or the lowest float, or at most 0 behind relu or a clip at
//   0
// Pools pad less than their kernel, as the standard demands. Does not fire, and says so, on other values and modes, on
// padding that auto_pad derives from the padded extents, where the padded value has other uses, or where the user wants
// the layer left alone.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport fuse_pad_into_conv(Graph& graph, const PassContext& context);

}  // namespace amct

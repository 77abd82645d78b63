// A clip that the quantizers behind it do as well becomes a ReLU (spec D.6):
//
//   Clip(0, h) -> AscendQuant      becomes      ReLU -> AscendQuant      if round(h * scale) + offset >= 127
//
// (the largest integer of the type for others than INT8). Nothing else may read the clip's result. Exact: what lies
// above h is the largest integer either way. The node `<clip>` becomes `<clip>.relu`: its own result is another.
#pragma once

#include "ir/graph.h"
#include "passes/pass.h"

namespace amct {

void drop_upper_clips(Graph& deploy, PassReport& report);

}  // namespace amct

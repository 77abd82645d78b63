// Fills the weight scales of a plan by ARQ (spec C.3), per output channel, per group or per tensor, as each layer's
// plan says, and the clusters of layers with non-uniform weights.
#pragma once

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Layers that already have scales keep them. `workers` threads, each of which has the weights of a layer in memory.
// Throws Error(kNumeric) naming the layer for NaN and infinity in its weights.
void fill_weight_scales(const Graph& graph, Plan& plan, int workers = 1);

}  // namespace amct

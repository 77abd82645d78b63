// The float graph with every quantized layer's weights replaced by what their integers stand for: what AMCT calibrates
// the activations with (spec C.1).
#pragma once

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Weights of planned layers without scales are left as they are. `workers` threads. Throws an Error naming a layer that
// is not in the graph.
Graph fake_quantized_weights(const Graph& graph, const Plan& plan, int workers = 1);

}  // namespace amct

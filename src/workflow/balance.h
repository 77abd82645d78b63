// Activation balance (passes/quantize/dmq.h) in the workflow: runs samples, chooses factors from the largest magnitude
// of every channel over all of them, and rewrites the graph before it is calibrated.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Balances the layers whose plan has a strength; does nothing, and runs nothing, if there is none. Returns the layers
// whose factors went into the layers before them instead of a Mul. Throws Error(kNumeric) naming the layer whose input
// holds NaN or infinity.
std::vector<std::string> balance(Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers);

}  // namespace amct

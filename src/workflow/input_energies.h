// How strong the input channels of layers with non-uniform weights are: what an error of a weight costs its layer's
// result depends on what it multiplies (passes/quantize/nuq.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Mean squares over the first `samples` of the source, by layer with `steps`. A thousandth of the mean of all channels
// is added to each: a channel that rests in these samples is not free. Results do not depend on the number of workers.
// Throws Error(kNumeric) naming the layer whose input holds NaN or infinity.
std::map<std::string, std::vector<float>> input_energies(const Graph& graph, const Plan& plan, const DataSource& source,
                                                         int64_t samples, int workers);

}  // namespace amct

// SearchN over samples: fills the shifts of a plan whose factors are known (passes/quantize/shift_search.h).
#pragma once

#include <cstdint>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Runs the samples once more and observes the result of every quantized layer with a weight; pools have no shift.
// `graph` is the prepared float graph. Results do not depend on the number of workers.
void search_shifts(const Graph& graph, Plan& plan, const DataSource& source, int64_t samples, int workers);

}  // namespace amct

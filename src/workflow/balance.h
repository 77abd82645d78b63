// Activation balance (passes/quantize/dmq.h) in the workflow: runs samples, chooses factors from the largest magnitude
// of every channel over all of them, and rewrites the graph before it is calibrated.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/source.h"
#include "exec/channel_max.h"
#include "ir/graph.h"
#include "plan/plan.h"
#include "workflow/calibrate.h"

namespace amct {

// Some layer of the plan has a strength.
bool is_balanced(const Plan& plan);

// Runs the samples of the part's share that it has not seen, and adds the largest magnitudes of the balanced layers'
// inputs.
void observe_maxima(const Graph& graph, const Plan& plan, const DataSource& source, const ObserveOptions& options,
                    CalibrationPart& part);

// Balances the layers whose plan has a strength, by the maxima over all samples, by tensor. Returns the layers whose
// factors went into the layers before them instead of a Mul. Throws Error(kNumeric) naming the layer whose input holds
// NaN or infinity, Error(kInput) where the maxima of a tensor are not there.
std::vector<std::string> balance(Graph& graph, Plan& plan, const std::map<std::string, ChannelMax>& maxima);

}  // namespace amct

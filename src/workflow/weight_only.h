// Weights of 4 or 8 bits beside float activations: smaller files for networks whose time goes into reading weights,
// such as language models. No sample is needed. Neither AMCT's configurations nor Ascend's deploy operators know it.
#pragma once

#include "ir/graph.h"
#include "plan/plan.h"
#include "workflow/quantize.h"

namespace amct {

// Throws ErrorList of Error(kConfig) with all options of the request that are about activations or samples, and
// Error(kUnsupported) if nothing but a deploy model is asked for.
void check_weight_only(const QuantizeRequest& request);

// Layers without weights stay float. Weights of Gemm and MatMul that have no groups get a scale per output channel:
// unlike an integer layer's, their float products need no common one.
void plan_weights_only(const Graph& graph, Plan& plan);

}  // namespace amct

// Chooses how strongly each layer's activation is balanced (spec C.10) by what comes out of the layer.
//
// For every candidate strength, and for no balance at all, all layers are balanced and calibrated on some samples; then
// each layer computes with its quantized input and weights beside the float layer, on the float network's own input,
// and the squared differences of the results are summed. A layer takes the candidate with the least sum; of equal ones
// none, then the smaller strength.
#pragma once

#include <span>
#include <vector>

#include "data/source.h"
#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

inline constexpr double kBalanceCandidates[] = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};

// Largest magnitudes per input channel of a layer's activation and of its weight; empty where it cannot be balanced.
struct ChannelMaxima {
  std::vector<float> activation, weight;
};

// Sets or clears `balance_strength` of the plan's layers; `maxima` as plan.layers. Results do not depend on the number
// of workers.
void choose_balance_strengths(const Graph& graph, Plan& plan, std::span<const ChannelMaxima> maxima,
                              const DataSource& source, int64_t samples, int workers);

// Sums of squares over all samples: of a layer's float result, and of what differs from it when the layer computes with
// its quantized input and weights on the same float input.
struct LayerError {
  double error = 0, signal = 0;
};
// As plan.layers; zeros for layers that are not quantized or have no weight. The plan holds all factors.
std::vector<LayerError> layer_errors(const Graph& graph, const Plan& plan, const DataSource& source, int64_t samples,
                                     int workers);

}  // namespace amct

// DMQ activation balance (spec C.10): every input channel of a layer is divided by a factor and its weights are
// multiplied by it, which moves spread from an activation with outlying channels into the weights.
//
//   f_c = a_c^m / w_c^(1 - m),   a_c, w_c = largest magnitude of input channel c and of its weights
//
// The division becomes a Mul node `<layer>.mul` in front of the layer, unless the layer that feeds it can take it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Channels without activation or without weights get a factor that neither widens the activation's range nor the
// weights'; all factors are 1 where nothing can be moved. `strength` is m, in [0.2, 0.8].
std::vector<float> balance_factors(std::span<const float> activation_max, std::span<const float> weight_max,
                                   double strength);

// Largest magnitude of a layer's weights per input channel; empty where its weight has a form without channels.
std::vector<float> weight_channel_max(const Graph& graph, const LayerPlan& layer);

// Puts the factors of the plan into the graph: scaled weights and the Mul nodes; each layer's plan then names the
// balanced tensor. Throws Error(kNumeric) for a factor outside (2^-23, 2^23), Error(kConfig) for a wrong number of
// them.
void apply_balance(Graph& graph, Plan& plan);

// Moves balance nodes into the layers that feed them where that changes nothing else: the value is read by nobody else,
// and between are only operators through which a positive factor passes. Returns the layers that were rid of theirs.
std::vector<std::string> fold_balance(Graph& graph, Plan& plan);

}  // namespace amct

// Folding of per-channel maps (channel_affine.h) into the weights and bias of compute layers: conv, conv_transpose,
// gemm and matmul with a constant weight. With y = W * x + b and the map s, t:
//   after the layer:   s y + t        = (s W) * x + (s b + t)
//   before the layer:  W * (s x + t)  = (W s) * x + (b + sum over inputs and kernel of W t)
// Numbers are computed in double and rounded once to the type of the weight. A weight or bias that other nodes share is
// copied first.
#pragma once

#include <string>

#include "ir/graph.h"
#include "passes/channel_affine.h"
#include "passes/pass.h"

namespace amct {

// True for a node whose weight and bias can be rewritten at all: one of the operators above; for gemm and matmul with a
// constant second operand (others multiply activations).
bool is_compute_layer(const Graph& graph, const Node& node);

// The axis of output channels in the layer's result, which has `rank` axes.
size_t output_channel_axis(const Node& layer, size_t rank);

// Makes the layer compute the map after (before) what it computed so far. Empty when done; else nothing was changed and
// the clause says why: "its bias is computed, not constant".
std::string fold_after(Graph& graph, NodeId layer, const ChannelAffine& map);
std::string fold_before(Graph& graph, NodeId layer, const ChannelAffine& map);

// Folds node `follower`, which reads `data` and applies a per-channel map to it, into the compute layer that computes
// `data`, and removes it. Writes to `report` what was done or why not; false if not done, without a note when `data`
// does not come from a compute layer.
bool fold_into_producer(Graph& graph, NodeId follower, ValueId data, const PassContext& context, PassReport& report);

}  // namespace amct

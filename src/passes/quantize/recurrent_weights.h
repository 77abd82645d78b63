// Weights of recurrent layers as integers (spec C.3, C.6, C.19): both weights of a direction have one row per gate and
// hidden unit, W (1, G H, inputs) and R (1, G H, H), in ONNX's order of gates, which the deploy operators and records
// keep. A plan holds one scale per row, or one per gate.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// True for layers whose row names a weight of the state.
bool is_recurrent(const Node& node);

// One weight of such a layer; `port` is the rule's weight_port or recurrent_port. All are constant (check_recurrent).
const Tensor& recurrent_weight(const Graph& graph, const Node& node, int port);

// The plan with one scale per row: those of gates repeated. Throws Error(kConfig) unless there is one per row or gate.
WeightPlan by_row(const WeightPlan& plan, const Tensor& weight);

// Fills scales of both weights that are missing; throws as arq_scales.
void fill_recurrent_scales(const Graph& graph, const Node& node, LayerPlan& layer);

// Replaces both weights of a copy of the graph by what their integers stand for.
void fake_quantize_recurrent(Graph& graph, NodeId id, const LayerPlan& layer);

}  // namespace amct

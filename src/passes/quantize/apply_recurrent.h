// A recurrent layer in each target's form (spec C.19, E.3, E.4).
//
//   deploy      LSTM(x, W, R, B, lengths, h, c) -> BasicLSTMInplaceFillWindowCache(x, int8 W, int8 R, h, c, int32 B,
//               lengths, , uint64 deq_scale), which quantizes x and the state itself; GRU likewise
//   simulation  LSTM: FakeQuant(x) -> Scan over the steps of { FakeQuant(h) -> LSTM of one step }, with weights and
//               bias as floats. GRU: MatMul of the integers of x for all steps -> Scan of { MatMul of the integers of
//               h -> the gates }. A layer of one step needs no Scan
//   QDQ         LSTM with weights behind DequantizeLinear; its activations stay float: ONNX Runtime has no integer form
//               with static factors, so quantizing them would cost accuracy and time and gain nothing
//
// A plain LSTM or GRU with a quantized initial state, as AMCT writes it, would leave the states of all steps but the
// first in floating point, and a GRU would pass the quantized state on beside the products, where the deploy operator
// has it in floating point; this form gives every step what the deploy operator gives it.
#pragma once

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// Throws Error(kConfig) when the plan lacks factors, Error(kNumeric) when a bias leaves the range of int32; the graph
// is then as it was.
void apply_recurrent_ascend(Graph& graph, NodeId id, const LayerPlan& layer);

// From the deploy operator to the simulation. The types of the layer's outputs must be known.
void simulate_recurrent(Graph& graph, NodeId id);

void apply_recurrent_qdq(Graph& graph, NodeId id, const LayerPlan& layer);

}  // namespace amct

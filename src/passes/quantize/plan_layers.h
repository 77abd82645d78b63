// Which layers are quantized, and why the others are not.
//
// Every node whose row says `compute` gets a LayerPlan, quantized or with its reason; constraints are the rows' own
// (docs/formats/plan.md, AMCT's table of supported layers). Layers in subgraphs stay float; their keys are
// "node/attribute/layer". Nothing is estimated here.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

struct QuantizeOptions {
  std::vector<std::string> skip;        // layer keys that stay float
  std::vector<std::string> skip_types;  // operators whose layers do, as the model file calls them ("Conv")
  int activation_bits = 8;
  int weight_bits = 8;
  bool asymmetric = true;  // activations of layers that allow it
  ClipSearch search;
  bool calibrate_with_quantized_weights = true;
};

// Throws Error(kConfig) for unknown names in `skip` and `skip_types` (with the closest known one) and Error(kNumeric)
// for NaN or infinity in the weights or bias of a layer that would be quantized; all faults at once.
Plan plan_layers(const Graph& graph, const QuantizeOptions& options = {});

// Operators with quantizable layers, as model files call them: "Conv", "Gemm", …
std::vector<std::string> quantizable_types();
// A layer's operator as its model file calls it.
const std::string& foreign_type(const Node& node);

// The Add of a constant bias, one value per output, behind a matmul, if that is all the matmul feeds (spec C.6).
NodeId bias_add_of(const Graph& graph, NodeId matmul);
// True for a Pad with zeros: zero is an integer of every quantizer, so quantized values pass it.
bool is_zero_pad(const Graph& graph, const Node& node);
// The value that the quantizer of a layer reads: its input 0, or for a pool behind a zero Pad of its own that Pad's
// input.
ValueId quantized_input(const Graph& graph, NodeId layer);
// The constant that holds a layer's bias: its bias port, or the addend of its bias Add; kNoValue if it has none.
ValueId bias_of(const Graph& graph, NodeId layer);
// True if the layer's weight can have a scale per output channel: its results lie along one axis that is known. Only
// those of a MatMul with a result of more than two axes cannot.
bool takes_scale_per_channel(const Graph& graph, NodeId layer);
// Number of output channels: the extent of the weight's channel axis (0 without a weight).
int64_t output_channels(const Graph& graph, NodeId layer);

}  // namespace amct

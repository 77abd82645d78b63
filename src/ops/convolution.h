// What conv and conv_transpose share: attributes, shape rule, plain kernel, lowering, coupling and cost.
//
// Weights are (out, in / group, spatial…) for both. The outputs of group g are the rows [g out / group, (g + 1) out /
// group), its inputs the channels [g in / group, (g + 1) in / group). ONNX stores the weights of ConvTranspose as (in,
// out / group, spatial…): the import permutes a constant and the export permutes it back; a computed weight stays as it
// is and the node says so with weight_layout = "in_out".
#pragma once

#include "ops/op_row.h"

namespace amct {

std::vector<AttrSpec> convolution_attrs();
bool is_transposed_convolution(const Node& node);

void infer_convolution(InferContext& c);
void run_convolution(RunContext& c);
std::unique_ptr<Step> lower_convolution(const LowerContext& c);
std::vector<AxisRelation> axes_convolution(const AxesContext& c);
Cost cost_convolution(const CostContext& c);
std::string check_convolution(const Graph& graph, const Node& node);

// Origin::op of a constant weight that is stored permuted; Origin::name is the file's name for it.
inline constexpr const char* kSwappedWeight = "swapped";

// Converts weights of ConvTranspose from (in, out / group, spatial…) to (out, in / group, spatial…), and back: within a
// group the first two axes swap. Throws Error(kInput) when `groups` does not divide the first axis.
Tensor swap_in_out(const Tensor& weights, int64_t groups);

}  // namespace amct

// Bias correction: takes the mean error that rounding the weights makes off the bias.
//
//   b'[o] = b[o] + sum over i, k of (W - Wq)[o, i, k] * E[x_i] * c_k
//
// E[x_i] is the mean of input channel i over the calibration samples, c_k the share of output positions whose tap k
// lies inside the image (padding is zero). Rounding errors of a filter do not average out when the inputs are all
// positive, as behind a ReLU: each channel's output shifts, most of all in depthwise convolutions, which have few
// weights to average over. (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
// 2019, section 4.2, with measured means.) The result is an ordinary bias: nothing changes in the exported graphs.
#pragma once

#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// What to add to the bias of a quantized layer, per output channel; empty where the layer has no place for a bias, no
// fixed extents, or a weight of another form. `means` as the layer's input channels.
std::vector<float> bias_correction(const Graph& graph, const LayerPlan& layer, const std::vector<double>& means);

// Axis of the layer's input that holds its channels, logically: 1 for images, the last for matrices.
size_t input_channel_axis(const Graph& graph, const LayerPlan& layer);

// The graph with the corrections of the plan added to the biases of its layers; layers without a bias get one.
Graph with_corrected_biases(const Graph& graph, const Plan& plan);

}  // namespace amct

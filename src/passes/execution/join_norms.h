// Joins the arithmetic that spells a normalization over trailing axes:
//
//   d = x - mean(x);  y = d / sqrt(mean(d^2) + epsilon) [scale] [+ bias]    layer_norm
//   y = x / sqrt(mean(x^2) + epsilon) [scale]                                rms_norm
//
// The quotient may be a product with a reciprocal, the square a power or a product; scale and bias are constants whose
// extents are the last of x.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport join_norms(Graph& graph, const PassContext& context);

}  // namespace amct

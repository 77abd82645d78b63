// Computes on integers what only moves or picks values:
//   dequantize -> max_pool, reshape, transpose, …         becomes   the same on integers -> dequantize
//   dequantize, dequantize, … -> concat -> quantize       becomes   quantize each -> concat of integers
//   dequantize -> quantize with the same scale and zero   disappears
//   layer -> max_pool -> quantize                         becomes   layer -> quantize -> max_pool
// Exact: neither quantization nor dequantization ever decreases. Fires for one scale per tensor on 8-bit
// integers, where no graph output would lose its name.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport move_dequantize_down(Graph& graph, const PassContext& context);

}  // namespace amct

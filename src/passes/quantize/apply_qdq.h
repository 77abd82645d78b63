// From a float graph and its filled plan to standard ONNX with pairs of QuantizeLinear and DequantizeLinear, placed as
// the target's row says (qdq_targets.h):
//
//   x -> Conv(w, b) -> ReLU -> y   becomes   x -> Q -> DQ -> Conv(DQ(int8 w), DQ(int32 b)) -> Q -> DQ -> y
//
// A ReLU or Clip behind a layer is dropped when the quantizer's range lies inside its own; a quantizer behind a Clip
// never leaves the Clip's range. Operators that only move elements stand between pairs of the same factor.
#pragma once

#include "ir/graph.h"
#include "passes/quantize/qdq_targets.h"
#include "plan/plan.h"

namespace amct {

// Opset of the result: the source's, at least 13 (19 for float16 models, 21 with 4 or 16 bits or weight groups). Throws
// Error(kConfig) naming a value that has no factor in the plan (tensors_to_calibrate says which are needed).
Graph apply_qdq(Graph graph, const Plan& plan, const QdqTarget& target);

}  // namespace amct

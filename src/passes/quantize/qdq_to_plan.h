// From a model with QuantizeLinear and DequantizeLinear to the float graph and the plan with all factors that
// apply_ascend takes: what was quantized elsewhere goes through the same door as what is quantized here (spec C.24).
//
//   x -> Q -> DQ -> Conv(DQ(int8 w), DQ(int32 b))     becomes     x -> Conv(w, b), planned with the pair's factors
//   any other pair of an activation                   becomes     AscendQuant -> AscendAntiQuant
//   a Q that is a graph output                        becomes     AscendQuant: the output holds signed integers
//
// Constants behind a DequantizeLinear, with a QuantizeLinear before it or not, become the floats that they stand for.
// They are given to the plan where a layer takes them, so that the integers of weights and biases come out as they are.
#pragma once

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

struct QdqConversion {
  Plan plan;
  size_t anti_quantized = 0;  // pairs that no layer takes
};

// A layer is quantized if its input and its weight are: Conv, ConvTranspose, Gemm and MatMul; a pair may stand before
// operators that only move values. The plan says why the others stay float; its warnings name biases whose scale is not
// that of the sums. Needs up-to-date types. Throws ErrorList of what check_qdq_pairs finds.
QdqConversion qdq_to_plan(Graph& graph);

}  // namespace amct

// From a float graph and its filled plan to the graph that Ascend's compiler takes (spec C.6, C.11, E.3):
//
//   x -> Conv(w, b) -> y      becomes      x -> AscendQuant -> Conv(int8 w, int32 b) -> AscendDequant -> y
//
// with the dequantization behind the bias Add of a MatMul and the quantization before the private Pad of an
// AveragePool. Whatever reads one tensor with the same factor shares one AscendQuant. Inputs of operators without
// weights that the plan quantizes (tensor_inputs.h) get an AscendAntiQuant behind it, and so does a MaxPool whose
// input, or whose result alone, has one quantizer (spec C.11.6): its data can stay integers. Gemm weights lose their
// transposition. The offset is part of the quantized integers and nothing takes it off: that is the compiler's business
// (docs/formats/graphs.md), and attach_quant_offset's when the graph is executed.
#pragma once

#include "ir/graph.h"
#include "passes/pass.h"
#include "plan/plan.h"

namespace amct {

// Opset of the result: the source's, at least 11. Throws Error(kConfig) when a quantized layer of the plan has no
// factors or is not in the graph, Error(kNumeric) when a bias leaves the range of int32; all faults at once. `report`,
// if not null, gets what was rewritten besides layers: pools that read integers, clips that became ReLU.
Graph apply_ascend(Graph graph, const Plan& plan, PassReport* report = nullptr);

}  // namespace amct

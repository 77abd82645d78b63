// From a deploy graph to one that any runtime executes in floating point, step for step the same numbers (spec E.4):
//
// clang-format off
//   AscendQuant       -> Mul(1 / scale_d) -> Round -> Add(offset) -> Clip(low, high) -> Sub(offset)
//   integer layer     -> the same operator on floats that hold integers, weights and bias in units of the accumulator
//   AscendDequant     -> Mul(deq_scale as [1, C, 1…])
//     with a shift N  -> Div(2^N) -> Floor -> Clip(int16) -> Mul(deq_scale * 2^N)
//   AscendAntiQuant   -> Mul(scale)
//   recurrent layers  -> Scan over quantized inputs and states (apply_recurrent.h)
// clang-format on
//
// Nodes are named <layer>.quant.fakequant.{mul, round, add, clip, sub} and <layer>.fakedequant.mul, constants
// <layer>.quant.fakequant.{scale, offset, min_val, max_val} and <layer>.fakedequant.dqscale.
#pragma once

#include "ir/graph.h"

namespace amct {

// `deploy` as apply_ascend makes it or a file holds it (no attached offsets). Throws Error(kUnsupported) naming a node
// whose integers cannot be followed.
Graph ascend_to_fake_quant(const Graph& deploy);

}  // namespace amct

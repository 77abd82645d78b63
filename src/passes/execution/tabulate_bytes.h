// Makes functions of one quantized value tables of their 256 results:
//   dequantize x -> element-wise operators -> quantize     becomes   byte_table (x)
// Operands besides x are single constants, or functions of the same integers x themselves, so that x times the
// quantized sigmoid of x is one table. The table is computed by the operators it replaces, so that every result is the
// same in all bits.
//
// Left alone: more than one source, scales along an axis, integers that are not of 8 bits, and random operators.
#pragma once

#include "passes/pass.h"

namespace amct {

PassReport tabulate_bytes(Graph& graph, const PassContext& context);

}  // namespace amct

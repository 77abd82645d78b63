// The quantizer of a simulation, in operators that every runtime has (spec E.4):
//   Mul(inverse scale) -> Round -> Add(offset) -> Clip(low, high) -> Sub(offset)
// with nodes <base>{mul, round, add, clip, sub} and constants <base>{scale, offset, min_val, max_val}.
#pragma once

#include <string>

#include "ir/graph.h"

namespace amct {

struct FakeQuantChain {
  float inverse_scale = 1;  // what the deploy operator multiplies with
  float offset = 0;
  int bits = 8;
};

// The result, in integers without the offset. `x` must be float32.
ValueId add_fake_quant_chain(Graph& graph, const std::string& base, ValueId x, const FakeQuantChain& chain);

}  // namespace amct

// What the samples of a row show about it: the element types it takes, the kernels that run it, the axes it couples.
// Found by inferring, compiling and asking its rules, so that nothing of it has to be kept by hand.
#pragma once

#include <string>

#include "ops/op_row.h"

namespace amct {

struct OpFacts {
  std::string types;     // "floats, int32, int64": of the inputs that share the type of the data
  std::string kernels;   // "oneDNN, generic"
  std::string coupling;  // "ties axes; locks an axis: its entries are picked by index"
};

OpFacts facts_of(const OpRow& row);

}  // namespace amct

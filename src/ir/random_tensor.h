// Made-up data that is the same on every machine: what `random(seed)` stands for in the graph's text form.
#pragma once

#include <cstdint>

#include "ir/tensor.h"

namespace amct {

// Uniform numbers in [-1, 1), integers in [-8, 7] (unsigned: [0, 15]); they depend on the seed alone.
Tensor random_tensor(DType dtype, const Dims& dims, uint64_t seed);

}  // namespace amct

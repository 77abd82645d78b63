// Reductions over any set of axes, of any numeric type.
//
// Sums of floats are accumulated in double (short runs in float vectors), sums of integers modulo 2^64 and cut to the
// type; the 16-bit floats compute in double as well. log-sum-exp subtracts the maximum first. NaN wins minima and
// maxima. Over nothing: sums 0, products 1, minima and maxima the type's extremes (infinite for floats), means NaN.
#pragma once

#include <vector>

#include "ir/tensor.h"

namespace amct {

enum class ReduceOp { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kLogSum, kLogSumExp, kSumSquare };

// Reduces the axes of `input` that are marked; `output` holds the kept axes in their order, in the input's type.
void reduce(ReduceOp op, const TensorView& input, const std::vector<bool>& reduced, void* output);

}  // namespace amct

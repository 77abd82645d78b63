// What gemm and matmul share: the plain product of two matrices with broadcasting batch axes.
#pragma once

#include "ops/op_row.h"

namespace amct {

// The product y (…, m, n) = a (…, m, k) b (…, k, n) with concrete extents.
struct ProductShape {
  Dims batch, a_batch, b_batch;  // result and operands, of equal rank; operands' entries are 1 or the result's
  int64_t m = 1, n = 1, k = 1;
};

// Numpy's matmul: 1-d operands get an axis of 1 that the result lacks. `a` and `b` must fit (checked by the shape
// rule).
ProductShape product_shape(const Dims& a, const Dims& b);

// y = a b, row-major, in the arithmetic of `dtype`: double for floating point, wrapping 64-bit for integers. Integer
// types are those of visit_numeric.
void run_product(const ProductShape& shape, const TensorView& a, const TensorView& b, const MutableView& y,
                 int threads);

}  // namespace amct

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

// Calls f(matrix of y, matrix of a, matrix of b) for every matrix of the batch.
template <typename F>
void for_each_matrix(const ProductShape& shape, F&& f) {
  const int64_t count = element_count(shape.batch);
  for (int64_t at = 0; at < count; ++at) {
    int64_t rest = at, a = 0, b = 0, a_stride = 1, b_stride = 1;
    for (size_t axis = shape.batch.size(); axis-- > 0;) {
      const int64_t position = rest % shape.batch[axis];
      rest /= shape.batch[axis];
      if (shape.a_batch[axis] != 1) a += position * a_stride;
      if (shape.b_batch[axis] != 1) b += position * b_stride;
      a_stride *= shape.a_batch[axis];
      b_stride *= shape.b_batch[axis];
    }
    f(at, a, b);
  }
}

// y = a b, row-major, in the arithmetic of `dtype`: double for floating point, wrapping 64-bit for integers. Integer
// types are those of visit_numeric.
void run_product(const ProductShape& shape, const TensorView& a, const TensorView& b, const MutableView& y,
                 int threads);

}  // namespace amct

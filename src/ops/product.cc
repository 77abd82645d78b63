#include "ops/product.h"

#include <algorithm>

#include "ir/dispatch.h"
#include "kernels/reference/reference.h"

namespace amct {
namespace {

Dims leading(const Dims& dims, size_t count) {
  const size_t own = dims.size() > 2 ? dims.size() - 2 : 0;
  Dims batch(count - own, 1);
  batch.insert(batch.end(), dims.begin(), dims.begin() + static_cast<int64_t>(own));
  return batch;
}

template <typename T>
void multiply_integers(const ProductShape& s, const T* a, const T* b, T* y) {
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      uint64_t sum = 0;  // wraps, as the narrow type would
      for (int64_t l = 0; l < s.k; ++l)
        sum += static_cast<uint64_t>(a[i * s.k + l]) * static_cast<uint64_t>(b[l * s.n + j]);
      y[i * s.n + j] = static_cast<T>(sum);
    }
  }
}

}  // namespace

ProductShape product_shape(const Dims& a, const Dims& b) {
  ProductShape shape;
  const size_t rank = std::max<size_t>({a.size(), b.size(), 2}) - 2;
  shape.a_batch = leading(a, rank);
  shape.b_batch = leading(b, rank);
  for (size_t i = 0; i < rank; ++i) {
    shape.batch.push_back(shape.a_batch[i] == 1 ? shape.b_batch[i] : shape.a_batch[i]);
  }
  shape.k = a.back();
  shape.m = a.size() > 1 ? a[a.size() - 2] : 1;
  shape.n = b.size() > 1 ? b.back() : 1;
  return shape;
}

void run_product(const ProductShape& s, const TensorView& a, const TensorView& b, const MutableView& y, int threads) {
  if (is_floating(y.dtype)) {
    const std::vector<double> wide_a = reference::widen(a);
    const std::vector<double> wide_b = reference::widen(b);
    std::vector<double> wide_y(static_cast<size_t>(y.size()));
    for_each_matrix(s, [&](int64_t to, int64_t from_a, int64_t from_b) {
      reference::multiply_add(s.m, s.n, s.k, wide_a.data() + from_a * s.m * s.k, wide_b.data() + from_b * s.k * s.n,
                              wide_y.data() + to * s.m * s.n, threads);
    });
    return reference::narrow(wide_y, y);
  }
  visit_numeric(y.dtype, [&]<typename T>(Tag<T>) {
    if constexpr (std::is_integral_v<T>) {
      for_each_matrix(s, [&](int64_t to, int64_t from_a, int64_t from_b) {
        multiply_integers(s, a.as<T>() + from_a * s.m * s.k, b.as<T>() + from_b * s.k * s.n,
                          y.as<T>() + to * s.m * s.n);
      });
    }
  });
}

}  // namespace amct

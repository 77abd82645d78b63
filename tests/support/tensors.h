// Tensors in tests: comparison, removal of indices, channels-last copies.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "ir/dispatch.h"
#include "ir/tensor.h"
#include "ops/run.h"

namespace amct::testing {

// Equal types and extents, and every pair of elements equal, both NaN, or |a - b| <= absolute + relative |b|.
inline ::testing::AssertionResult close(const Tensor& a, const Tensor& b, double relative, double absolute) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) {
    return ::testing::AssertionFailure() << fmt::format("{} {} against {} {}", name_of(a.dtype()), to_string(a.dims()),
                                                        name_of(b.dtype()), to_string(b.dims()));
  }
  if (a.same_bytes(b)) return ::testing::AssertionSuccess();
  const std::vector<double> va = a.to_doubles();
  const std::vector<double> vb = b.to_doubles();
  for (size_t i = 0; i < va.size(); ++i) {
    const bool same = va[i] == vb[i] || (std::isnan(va[i]) && std::isnan(vb[i])) ||
                      std::abs(va[i] - vb[i]) <= absolute + relative * std::abs(vb[i]);
    if (!same) return ::testing::AssertionFailure() << fmt::format("element {}: {} against {}", i, va[i], vb[i]);
  }
  return ::testing::AssertionSuccess();
}

// As many, each close to its counterpart.
inline ::testing::AssertionResult close(const std::vector<Tensor>& a, const std::vector<Tensor>& b, double relative,
                                        double absolute) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " against " << b.size() << " tensors";
  for (size_t i = 0; i < a.size(); ++i) {
    const ::testing::AssertionResult result = close(a[i], b[i], relative, absolute);
    if (!result) return ::testing::AssertionFailure() << "tensor " << i << ": " << result.message();
  }
  return ::testing::AssertionSuccess();
}

// The elements of `tensor` whose index along `axis` is not in `removed`.
inline Tensor without(const Tensor& tensor, size_t axis, const std::set<int64_t>& removed) {
  const Dims& dims = tensor.dims();
  Dims reduced = dims;
  reduced[axis] -= static_cast<int64_t>(removed.size());
  Tensor result = Tensor::allocate(tensor.dtype(), reduced);
  size_t inner = element_bytes(tensor.dtype());
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= static_cast<size_t>(dims[i]);
  int64_t outer = 1;
  for (size_t i = 0; i < axis; ++i) outer *= dims[i];
  const std::byte* from = tensor.bytes().data();
  std::byte* to = result.mutable_data();
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < dims[axis]; ++i, from += inner) {
      if (removed.contains(i)) continue;
      std::memcpy(to, from, inner);
      to += inner;
    }
  }
  return result;
}

// The same extents, with the elements at the given indices of `axis` zero.
inline Tensor zeroed(const Tensor& tensor, size_t axis, const std::set<int64_t>& indices) {
  Tensor result = Tensor::copy_of(tensor.view());
  size_t inner = element_bytes(tensor.dtype());
  for (size_t i = axis + 1; i < tensor.rank(); ++i) inner *= static_cast<size_t>(tensor.dims()[i]);
  std::byte* at = result.mutable_data();
  const std::byte* end = at + result.bytes().size();
  for (int64_t i = 0; at != end; ++i, at += inner) {
    if (indices.contains(i % tensor.dims()[axis])) std::memset(at, 0, inner);
  }
  return result;
}

// Copies between the plain order of `logical` extents and channels-last memory.
inline void copy_layout(const Dims& logical, size_t element, const std::byte* from, std::byte* to, bool to_plain) {
  const int64_t n = logical[0];
  const int64_t c = logical[1];
  int64_t inner = 1;
  for (size_t i = 2; i < logical.size(); ++i) inner *= logical[i];
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t k = 0; k < c; ++k) {
      for (int64_t i = 0; i < inner; ++i) {
        const auto plain = static_cast<size_t>((b * c + k) * inner + i) * element;
        const auto last = static_cast<size_t>((b * inner + i) * c + k) * element;
        std::memcpy(to + (to_plain ? plain : last), from + (to_plain ? last : plain), element);
      }
    }
  }
}

// The same elements in the order of the other layout; a tensor without an image is itself.
inline Tensor to_channels_last(const Tensor& tensor) {
  if (tensor.rank() < 3) return tensor;
  Tensor result = Tensor::allocate(tensor.dtype(), memory_dims(tensor.dims(), Layout::kChannelsLast));
  copy_layout(tensor.dims(), element_bytes(tensor.dtype()), tensor.bytes().data(), result.mutable_data(), false);
  return result;
}

inline Tensor to_plain(const Tensor& tensor) {
  if (tensor.rank() < 3) return tensor;
  Tensor result = Tensor::allocate(tensor.dtype(), logical_dims(tensor.dims(), Layout::kChannelsLast));
  copy_layout(result.dims(), element_bytes(tensor.dtype()), tensor.bytes().data(), result.mutable_data(), true);
  return result;
}

}  // namespace amct::testing

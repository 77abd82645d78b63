// Tensors made for tests: uniform and normal numbers that follow from a seed or a generator, one number throughout, and
// lists of integers, random ones of any type.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "ir/dispatch.h"
#include "ir/tensor.h"

namespace amct::testing {

template <typename Distribution>
Tensor drawn(Dims dims, std::mt19937& random, Distribution distribution) {
  Tensor tensor = Tensor::allocate(DType::kFloat32, std::move(dims));
  for (float& value : tensor.mutable_values<float>()) value = distribution(random);
  return tensor;
}

// Uniform in [low, high).
inline Tensor uniform(Dims dims, std::mt19937& random, float low = -1, float high = 1) {
  return drawn(std::move(dims), random, std::uniform_real_distribution<float>(low, high));
}

inline Tensor uniform(Dims dims, uint32_t seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  return uniform(std::move(dims), random, low, high);
}

inline Tensor normal(Dims dims, uint32_t seed, float mean = 0, float sigma = 1) {
  std::mt19937 random(seed);
  return drawn(std::move(dims), random, std::normal_distribution<float>(mean, sigma));
}

template <typename T>
Tensor filled(Dims dims, T value) {
  const auto count = static_cast<size_t>(element_count(dims));
  return Tensor::of<T>(std::move(dims), std::vector<T>(count, value));
}

// A list of int64 values, such as extents, pads and axes are given by.
inline Tensor ints(const std::vector<int64_t>& values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

// Uniform in [low, high]; integers and truth values are rounded. NaN never occurs.
inline Tensor random_tensor(DType dtype, const Dims& dims, double low, double high, std::mt19937_64& random) {
  Tensor tensor = Tensor::allocate(dtype, dims);
  std::uniform_real_distribution<double> uniform(low, high);
  visit_numeric(dtype, [&]<typename T>(Tag<T>) {
    for (T& x : tensor.mutable_values<T>()) {
      const double value = uniform(random);
      if constexpr (std::is_same_v<T, bool>)
        x = value >= 0.5;
      else if constexpr (std::is_integral_v<T>)
        x = static_cast<T>(static_cast<int64_t>(std::llround(value)));
      else
        x = static_cast<T>(static_cast<Compute<T>>(value));
    }
  });
  return tensor;
}

}  // namespace amct::testing

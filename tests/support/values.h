// Lists of random floats for tests of kernels, which take plain memory.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace amct::testing {

// Uniform in [low, high).
inline std::vector<float> uniform_values(size_t count, std::mt19937& random, float low, float high) {
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

inline std::vector<float> normal_values(size_t count, std::mt19937& random, float mean = 0, float sigma = 1) {
  std::normal_distribution<float> distribution(mean, sigma);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

}  // namespace amct::testing

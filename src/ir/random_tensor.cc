#include "ir/random_tensor.h"

#include <random>

#include "ir/dispatch.h"

namespace amct {

Tensor random_tensor(DType dtype, const Dims& dims, uint64_t seed) {
  std::mt19937_64 generator(seed);
  Tensor tensor = Tensor::allocate(dtype, dims);
  visit_numeric(dtype, [&]<typename T>(Tag<T>) {
    for (T& value : tensor.mutable_values<T>()) {
      const uint64_t bits = generator() >> 40;  // 24 random bits: the same number on every machine
      if constexpr (std::is_same_v<T, bool>) {
        value = (bits & 1) != 0;
      } else if constexpr (std::is_integral_v<T>) {
        value = static_cast<T>(static_cast<int64_t>(bits & 15) - (std::is_signed_v<T> ? 8 : 0));
      } else {
        value = static_cast<T>(static_cast<Compute<T>>(static_cast<float>(bits) * 0x1p-23f - 1.0f));
      }
    }
  });
  return tensor;
}

}  // namespace amct

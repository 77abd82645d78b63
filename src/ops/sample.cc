#include "ops/sample.h"

namespace amct {

SampleInput random_input(Dims dims, double low, double high, DType dtype) {
  return {.dtype = dtype, .dims = std::move(dims), .low = low, .high = high};
}

SampleInput random_weight(Dims dims, double low, double high, DType dtype) {
  return {.dtype = dtype, .dims = std::move(dims), .low = low, .high = high, .constant = true};
}

SampleInput fixed_ints(const std::vector<int64_t>& values) {
  return fixed(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

SampleInput fixed(Tensor value) {
  return {.dtype = value.dtype(), .dims = value.dims(), .constant = true, .value = value};
}

SampleInput absent_input() { return {.dtype = DType::kUndefined}; }

}  // namespace amct

#include "ops/quantized_operand.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ir/dispatch.h"

namespace amct {

std::vector<int32_t> integers_of(const TensorView& tensor) {
  std::vector<int32_t> result;
  if (!tensor) return result;
  visit_numeric(tensor.dtype, [&]<typename T>(Tag<T>) {
    if constexpr (std::is_integral_v<T>) result.assign(tensor.as<T>(), tensor.as<T>() + tensor.size());
  });
  return result;
}

std::vector<float> floats_of(const TensorView& tensor) {
  std::vector<float> result;
  visit_numeric(tensor.dtype, [&]<typename T>(Tag<T>) {
    for (int64_t i = 0; i < tensor.size(); ++i) result.push_back(static_cast<float>(tensor.as<T>()[i]));
  });
  return result;
}

void store_quantized(float value, int32_t zero, const MutableView& y, int64_t index) {
  const bool is_signed = y.dtype == DType::kInt8;
  const float low = is_signed ? -128.0f : 0.0f;
  const float q = std::min(std::max(low, std::nearbyint(value) + static_cast<float>(zero)), low + 255.0f);
  if (is_signed) {
    y.as<int8_t>()[index] = static_cast<int8_t>(q);
  } else {
    y.as<uint8_t>()[index] = static_cast<uint8_t>(q);
  }
}

namespace {
DType type_of(const InferContext& c, size_t port) { return c.has(port) ? c.dtype(port) : DType::kUndefined; }
}  // namespace

void check_8_bits(const InferContext& c, size_t port) {
  const DType dtype = type_of(c, port);
  if (dtype == DType::kUndefined || dtype == DType::kInt8 || dtype == DType::kUInt8) return;
  c.fail(fmt::format("input {} is {}; int8 or uint8 is needed", port, name_of(dtype)));
}

void check_scale_type(const InferContext& c, size_t port) {
  const DType dtype = type_of(c, port);
  if (dtype == DType::kUndefined || is_floating(dtype)) return;
  c.fail(fmt::format("scale {} is {}; a floating-point type is needed", port, name_of(dtype)));
}

void check_zero_type(const InferContext& c, size_t port, size_t operand) {
  const DType dtype = type_of(c, port), needed = type_of(c, operand);
  if (dtype == DType::kUndefined || needed == DType::kUndefined || dtype == needed) return;
  c.fail(
      fmt::format("zero point {} is {}; its operand, input {}, is {}", port, name_of(dtype), operand, name_of(needed)));
}

void check_entries(const InferContext& c, size_t port, std::initializer_list<int64_t> counts) {
  if (!c.has(port)) return;
  const auto count = c.shape(port).element_count();
  if (!count || std::find(counts.begin(), counts.end(), *count) != counts.end()) return;
  c.fail(fmt::format("input {} has {} entries; {} are needed", port, *count,
                     fmt::join(std::set<int64_t>(counts), " or ")));
}

}  // namespace amct

#include "ops/input_checks.h"

#include <fmt/core.h>

namespace amct {

bool is_float_type(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 || dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}
bool is_integer_type(DType dtype) { return is_integer(dtype) && bit_width(dtype) >= 8; }
bool is_number_type(DType dtype) { return is_float_type(dtype) || is_integer_type(dtype); }
bool is_signed_type(DType dtype) {
  return is_float_type(dtype) || (is_integer_type(dtype) && is_signed_integer(dtype));
}
bool is_unsigned_type(DType dtype) { return is_integer_type(dtype) && !is_signed_integer(dtype); }
bool is_bool_type(DType dtype) { return dtype == DType::kBool; }
bool is_float32_type(DType dtype) { return dtype == DType::kFloat32; }

namespace {

// "input 2 (scales)".
std::string called(const InferContext& c, size_t port) {
  const InputPort* input = c.node().row->input_port(port);
  return input == nullptr ? fmt::format("input {}", port) : fmt::format("input {} ({})", port, input->name);
}

}  // namespace

void expect_type(const InferContext& c, size_t port, TypeSet allowed) {
  if (!c.has(port) || c.dtype(port) == DType::kUndefined || allowed(c.dtype(port))) return;
  c.fail(fmt::format("{} has elements of type {}, which {} does not take", called(c, port), name_of(c.dtype(port)),
                     c.node().op));
}

void expect_same_type(const InferContext& c, size_t port, size_t other) {
  const DType its = c.dtype(port), theirs = c.dtype(other);
  if (!c.has(port) || its == theirs || its == DType::kUndefined || theirs == DType::kUndefined) return;
  c.fail(fmt::format("inputs {} and {} have different types: {} and {}", other, port, name_of(theirs), name_of(its)));
}

void expect_same_types(const InferContext& c, size_t first) {
  for (size_t port = first + 1; port < c.input_count(); ++port) expect_same_type(c, port, first);
}

void expect_single(const InferContext& c, size_t port) {
  const auto count = c.has(port) ? c.shape(port).element_count() : std::nullopt;
  if (count && *count != 1) c.fail(fmt::format("{} has {} elements; a single one is needed", called(c, port), *count));
}

}  // namespace amct

// What shape rules ask of inputs: element types that go together, single numbers. What is not known yet passes: rules
// run again when it is. Messages name the input by port and by the row's name for it.
#pragma once

#include <cstddef>

#include "ops/op_row.h"

namespace amct {

using TypeSet = bool (*)(DType);
bool is_float_type(DType dtype);     // float32, float64, float16, bfloat16
bool is_number_type(DType dtype);    // those and the integers of 8 to 64 bits
bool is_signed_type(DType dtype);    // those and the signed integers of 8 to 64 bits
bool is_integer_type(DType dtype);   // integers of 8 to 64 bits
bool is_unsigned_type(DType dtype);  // unsigned integers of 8 to 64 bits
bool is_bool_type(DType dtype);
bool is_float32_type(DType dtype);

// Fails unless the type of the port is in the set.
void expect_type(const InferContext& c, size_t port, TypeSet allowed);
// Fails unless both inputs have one type.
void expect_same_type(const InferContext& c, size_t port, size_t other);
// Fails unless all present inputs from `first` on have one type.
void expect_same_types(const InferContext& c, size_t first = 0);

// Fails unless the input is absent, or has one element as far as its extents are known.
void expect_single(const InferContext& c, size_t port);

}  // namespace amct

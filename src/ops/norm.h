// What the normalization rows share: element types, views of memory as (outer, channels, inner), shape and coupling
// rules.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "ir/dispatch.h"
#include "ops/axis_view.h"
#include "ops/op_row.h"

namespace amct {

// Calls `f(Tag<T>)` for the floating types that normalizations take; others are refused by infer_norm.
template <typename F>
void visit_float(DType dtype, F&& f) {
  visit_numeric(dtype, [&]<typename T>(Tag<T> tag) {
    if constexpr (std::is_floating_point_v<Compute<T>>) {
      f(tag);
    } else {
      internal_error("a normalization of integers");
    }
  });
}

// Output 0 like input 0, which must be floating point and of rank `min_rank` at least.
void infer_norm(InferContext& c, size_t min_rank);
// Fails unless input `port`, where its shape is known, has the extent of axis 1 of input 0 and no other axis.
void check_channel_parameter(const InferContext& c, size_t port);

// Every axis passes from input 0 to output 0, except where `is_locked`: there statistics run, for the stated reason.
// `parameters` are ports with one element per channel of axis 1.
std::vector<AxisRelation> axes_norm(const AxesContext& c, const std::function<bool(size_t axis)>& is_locked,
                                    const std::string& reason, const std::vector<size_t>& parameters = {});

}  // namespace amct

// What the element-wise rows share: loops over types and elements, samples, and the foreign forms of broadcasting.
//
// Every row here has LayoutRule::kFollow: in a channels-last program all operands come with the output's rank and with
// memory extents, so that broadcasting them is the same as in plain memory.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "base/wrapping.h"
#include "ir/dispatch.h"
#include "kernels/index/broadcast.h"
#include "kernels/simd/float_binary.h"
#include "kernels/simd/float_unary.h"
#include "ops/input_checks.h"
#include "ops/op_row.h"

namespace amct {

// visit_numeric for a subset; other types are an internal error, since the shape rules refuse them.
template <typename T>
inline constexpr bool kIsFloatType =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <typename T>
inline constexpr bool kIsIntegerType = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <typename F>
void visit_floats(DType dtype, F&& f) {
  visit_numeric(dtype, [&]<typename T>(Tag<T> tag) {
    if constexpr (kIsFloatType<T>)
      f(tag);
    else
      internal_error("a float function met another type");
  });
}
template <typename F>
void visit_numbers(DType dtype, F&& f) {
  visit_numeric(dtype, [&]<typename T>(Tag<T> tag) {
    if constexpr (!std::is_same_v<T, bool>)
      f(tag);
    else
      internal_error("arithmetic met a truth value");
  });
}
template <typename F>
void visit_integers(DType dtype, F&& f) {
  visit_numeric(dtype, [&]<typename T>(Tag<T> tag) {
    if constexpr (kIsIntegerType<T>)
      f(tag);
    else
      internal_error("integer arithmetic met another type");
  });
}

// What arithmetic in double gives as an integer; beyond the range (undefined in ONNX) the nearest end, and 0 for NaN.
// Cast has a rule of its own (ir/cast_element.h): it keeps the low bits.
template <typename T>
T to_integer(double x) {
  if (x != x) return 0;
  if (x >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  if (x <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return static_cast<T>(x);
}

// --- loops ---------------------------------------------------------------------------------------

// out[i] = f(in[i]); In and Out are storage types, f works in the types of `Compute`.
template <typename In, typename Out, typename F>
void map_elements(RunContext& c, F f) {
  const In* from = c.input(0).as<In>();
  Out* to = c.output(0).as<Out>();
  const int64_t n = c.output(0).size();
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Out>(f(static_cast<Compute<In>>(from[i])));
}

template <typename F>
void run_float_map(RunContext& c, F f) {
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) { map_elements<T, T>(c, f); });
}

// The same with the vectorised kernel for float32.
template <typename F>
void run_float_map(RunContext& c, FloatUnary fast, F f, double alpha = 0, double beta = 0) {
  if (c.input(0).dtype != DType::kFloat32) return run_float_map(c, f);
  float_unary(fast, c.input(0).as<float>(), c.output(0).as<float>(), static_cast<size_t>(c.output(0).size()),
              static_cast<float>(alpha), static_cast<float>(beta));
}

// How the inputs in `ports` walk over output 0.
BroadcastPlan plan_inputs(const RunContext& c, const std::vector<size_t>& ports);

// out = f(a, b) for two broadcast operands; float32 goes to the vectorised kernel where the columns allow it.
void run_float_binary(const BroadcastPlan& plan, FloatBinary function, const float* a, const float* b, float* out);

// --- rows ----------------------------------------------------------------------------------------
std::vector<AxisRelation> axes_all_outputs(const AxesContext& c);  // axes_elementwise with the axes of output 1 as well

// Samples of a float function of one input: odd shapes, a scalar, an empty tensor, float64 and float16.
std::vector<Sample> float_samples(double low, double high, Attrs attrs = {});
Sample unary_sample(std::string name, Dims dims, double low, double high, DType dtype, Attrs attrs = {});
Sample binary_sample(std::string name, Dims a, Dims b, double low, double high, DType dtype = DType::kFloat32,
                     Attrs attrs = {});
Sample skip_in_onnx_runtime(Sample sample, std::string reason);

// Epilogue without parameters.
template <Epilogue::Kind kind>
std::optional<Epilogue> absorb_plain(const AbsorbQuery&) {
  return Epilogue{kind};
}

// An addition of two: absorbed into the step that computes one operand if the other is an activation of the same
// extents.
std::optional<Epilogue> absorb_addition(const AbsorbQuery& q);

// --- spellings -----------------------------------------------------------------------------------

// The one ONNX spelling of an operator that never changed its meaning.
std::vector<Spelling> onnx_since(std::string type, int64_t since = 1);
// ONNX spellings of an operator that broadcast by the attributes `broadcast` and `axis` before opset 7.
std::vector<Spelling> onnx_broadcasting(std::string type);

}  // namespace amct

// Minimum, maximum, sum and mean of any number of broadcast inputs. NaN passes through minimum and maximum.
#include <algorithm>
#include <array>

#include "ops/elementwise.h"

namespace amct {
namespace {

template <TypeSet allowed>
void infer_variadic(InferContext& c) {
  expect_type(c, 0, allowed);
  expect_same_types(c);
  infer_broadcast(c);
}

// output = f(output, input), the output being dense.
template <typename F>
void accumulate(RunContext& c, size_t port, FloatBinary fast, F f) {
  const MutableView& out = c.output(0);
  const std::array<Dims, 2> operands{out.dims, c.input(port).dims};
  const BroadcastPlan plan = plan_broadcast(out.dims, operands);
  if (out.dtype == DType::kFloat32) {
    float* values = out.as<float>();
    return run_float_binary(plan, fast, values, c.input(port).as<float>(), values);
  }
  visit_numbers(out.dtype, [&]<typename T>(Tag<T>) {
    broadcast_binary(plan, out.as<T>(), c.input(port).as<T>(), out.as<T>(), f);
  });
}

// The first input, repeated to the extents of the output.
void start_from_first(RunContext& c) {
  const BroadcastPlan plan = plan_inputs(c, {0});
  visit_size(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    const T* from = static_cast<const T*>(c.input(0).data);
    T* to = static_cast<T*>(c.output(0).data);
    for_each_plane(plan, [&](int64_t at, const BroadcastOffsets& offsets) {
      for (int64_t row = 0; row < plan.rows(); ++row) {
        const T* source = from + offsets[0] + row * plan.row_stride(0);
        for (int64_t i = 0; i < plan.cols(); ++i) to[at + row * plan.cols() + i] = source[i * plan.col_stride(0)];
      }
    });
  });
}

template <typename F>
void run_variadic(RunContext& c, FloatBinary fast, F f) {
  start_from_first(c);
  for (size_t port = 1; port < c.input_count(); ++port) accumulate(c, port, fast, f);
}

void run_min(RunContext& c) {
  run_variadic(c, FloatBinary::kMin, [](auto a, auto b) { return a < b || a != a ? a : b; });
}

void run_max(RunContext& c) {
  run_variadic(c, FloatBinary::kMax, [](auto a, auto b) { return a > b || a != a ? a : b; });
}

void run_sum(RunContext& c) {
  run_variadic(c, FloatBinary::kAdd, [](auto a, auto b) { return a + b; });
}

void run_mean(RunContext& c) {
  run_sum(c);
  const auto count = static_cast<double>(c.input_count());
  visit_floats(c.output(0).dtype, [&]<typename T>(Tag<T>) {
    T* values = c.output(0).as<T>();
    for (int64_t i = 0; i < c.output(0).size(); ++i) {
      values[i] = static_cast<T>(static_cast<Compute<T>>(values[i]) / static_cast<Compute<T>>(count));
    }
  });
}

std::vector<Sample> variadic_samples() {
  const auto of = [](Dims dims, DType dtype = DType::kFloat32) { return random_input(std::move(dims), -2, 2, dtype); };
  return {{.name = "one", .inputs = {of({3, 7})}},
          {.name = "two", .inputs = {of({2, 5, 3, 7}), of({2, 5, 3, 7})}},
          {.name = "three_broadcast", .inputs = {of({3, 1}), of({2, 3, 5}), of({5})}},
          {.name = "growing", .inputs = {of({}), of({1, 5, 1, 7}), of({2, 1, 3, 7})}},
          {.name = "empty", .inputs = {of({2, 0, 3}), of({1, 3})}},
          {.name = "float64", .inputs = {of({3, 5}, DType::kFloat64), of({3, 5}, DType::kFloat64)}}};
}

std::vector<Sample> extremum_samples() {
  std::vector<Sample> samples = variadic_samples();
  samples.push_back(binary_sample("float16", {3, 5}, {3, 5}, -2, 2, DType::kFloat16));
  samples.push_back(binary_sample("int32", {2, 3, 5}, {3, 1}, -90, 90, DType::kInt32));
  samples.push_back(binary_sample("uint64", {3, 5}, {5}, 0, 90, DType::kUInt64));
  return samples;
}

OpRow variadic_row(std::string name, std::string doc, std::string onnx_type, InferFn infer, RunFn run,
                   SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{.name = "data", .variadic = true}},
          .outputs = {{"y"}},
          .infer = infer,
          .run = run,
          .layout = LayoutRule::kFollow,
          .quant = QuantRule::keep_float("an element-wise operator: none of its operands is a weight"),
          .axes = axes_elementwise,
          .spellings = onnx_since(std::move(onnx_type)),
          .samples = samples};
}

}  // namespace

void add_variadic_op(OpTable& table) {
  table.add(variadic_row("min", "Smallest of the inputs, element by element.", "Min", infer_variadic<is_number_type>,
                         run_min, extremum_samples));
  table.add(variadic_row("max", "Largest of the inputs, element by element.", "Max", infer_variadic<is_number_type>,
                         run_max, extremum_samples));
  OpRow sum = variadic_row("sum", "Sum of the inputs, element by element.", "Sum", infer_variadic<is_float_type>,
                           run_sum, variadic_samples);
  sum.absorb_into = absorb_addition;
  table.add(std::move(sum));
  table.add(variadic_row("mean", "Mean of the inputs, element by element.", "Mean", infer_variadic<is_float_type>,
                         run_mean, variadic_samples));
}

}  // namespace amct

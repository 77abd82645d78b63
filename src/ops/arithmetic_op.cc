// Arithmetic of two broadcast operands. Integers wrap around; their division truncates towards zero.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "ops/elementwise.h"

namespace amct {
namespace {

void infer_arithmetic(InferContext& c) {
  expect_type(c, 0, is_number_type);
  expect_same_types(c);
  infer_broadcast(c);
}

void infer_pow(InferContext& c) {
  expect_type(c, 0, is_number_type);
  expect_type(c, 1, is_number_type);
  infer_broadcast(c);
}

void infer_mod(InferContext& c) {
  if (attr_int(c.node(), "fmod") == 0 && is_floating(c.dtype(0))) {
    c.fail("the remainder of floats needs attribute 'fmod'", "set fmod to 1");
  }
  infer_arithmetic(c);
}

// Runs `f` on floats (the vectorised kernel on float32) and `g`, made for integers, on integers.
template <typename F, typename G>
void run_arithmetic(RunContext& c, FloatBinary fast, F f, G g) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  const DType dtype = c.input(0).dtype;
  if (dtype == DType::kFloat32) {
    return run_float_binary(plan, fast, c.input(0).as<float>(), c.input(1).as<float>(), c.output(0).as<float>());
  }
  visit_numbers(dtype, [&]<typename T>(Tag<T>) {
    const T* a = c.input(0).as<T>();
    const T* b = c.input(1).as<T>();
    if constexpr (kIsFloatType<T>)
      broadcast_binary(plan, a, b, c.output(0).as<T>(), f);
    else
      broadcast_binary(plan, a, b, c.output(0).as<T>(), g);
  });
}

void run_add(RunContext& c) {
  run_arithmetic(
      c, FloatBinary::kAdd, [](auto a, auto b) { return a + b; },
      []<typename T>(T a, T b) { return static_cast<T>(Wrapping<T>(a) + Wrapping<T>(b)); });
}

void run_sub(RunContext& c) {
  run_arithmetic(
      c, FloatBinary::kSub, [](auto a, auto b) { return a - b; },
      []<typename T>(T a, T b) { return static_cast<T>(Wrapping<T>(a) - Wrapping<T>(b)); });
}

void run_mul(RunContext& c) {
  run_arithmetic(
      c, FloatBinary::kMul, [](auto a, auto b) { return a * b; },
      []<typename T>(T a, T b) { return static_cast<T>(Wrapping<T>(a) * Wrapping<T>(b)); });
}

[[noreturn]] void divided_by_zero(const RunContext& c) {
  throw Error(ErrorCode::kNumeric, "an integer is divided by zero", {.node = c.node().name, .op = c.node().op});
}

void run_div(RunContext& c) {
  run_arithmetic(
      c, FloatBinary::kDiv, [](auto a, auto b) { return a / b; },
      [&]<typename T>(T a, T b) -> T {
        if (b == 0) divided_by_zero(c);
        if constexpr (std::is_signed_v<T>) {
          if (b == -1) return static_cast<T>(Wrapping<T>{0} - Wrapping<T>(a));  // the minimum has no negative
        }
        return static_cast<T>(a / b);
      });
}

// Remainder with the sign of the divisor, or (truncated) of the dividend.
template <typename T>
T remainder(T a, T b, bool truncated) {
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
    const T r = static_cast<T>(a % b);
    return !truncated && r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
  } else {
    return static_cast<T>(a % b);
  }
}

void run_mod(RunContext& c) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  const bool truncated = attr_int(c.node(), "fmod") != 0;
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    const T* a = c.input(0).as<T>();
    const T* b = c.input(1).as<T>();
    T* out = c.output(0).as<T>();
    if constexpr (kIsFloatType<T>) {
      broadcast_binary(plan, a, b, out, [](auto x, auto y) { return std::fmod(x, y); });
    } else {
      broadcast_binary(plan, a, b, out, [&](T x, T y) {
        if (y == 0) divided_by_zero(c);
        return remainder(x, y, truncated);
      });
    }
  });
}

// Integer powers of integers are exact modulo 2^bits; a negative exponent gives 1 / base^n truncated.
template <typename T, typename E>
T integer_power(T base, E exponent) {
  if constexpr (std::is_signed_v<E>) {
    if (exponent < 0) {
      if (base == 1) return 1;
      if constexpr (std::is_signed_v<T>) {
        if (base == -1) return exponent % 2 == 0 ? T{1} : T{-1};
      }
      return 0;
    }
  }
  using U = Wrapping<T>;
  U result = 1;
  U factor = static_cast<U>(base);
  for (auto n = static_cast<uint64_t>(exponent); n != 0; n >>= 1) {
    if ((n & 1) != 0) result *= factor;
    factor *= factor;
  }
  return static_cast<T>(result);
}

template <typename T, typename E>
void run_pow_typed(RunContext& c, const BroadcastPlan& plan) {
  broadcast_binary(plan, c.input(0).as<T>(), c.input(1).as<E>(), c.output(0).as<T>(), [](auto base, auto exponent) {
    using B = decltype(base);
    using X = decltype(exponent);
    if constexpr (std::is_integral_v<B> && std::is_integral_v<X>) {
      return integer_power(base, exponent);
    } else if constexpr (std::is_integral_v<B>) {
      return to_integer<B>(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
    } else {
      if (exponent == X{2}) return base * base;
      return static_cast<B>(
          std::pow(base, static_cast<std::conditional_t<std::is_same_v<X, float>, B, double>>(exponent)));
    }
  });
}

void run_pow(RunContext& c) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    visit_numbers(c.input(1).dtype, [&]<typename E>(Tag<E>) { run_pow_typed<T, E>(c, plan); });
  });
}

std::vector<Sample> broadcast_samples(double low, double high) {
  std::vector<Sample> samples = {
      binary_sample("same_shape", {2, 5, 3, 7}, {2, 5, 3, 7}, low, high),
      binary_sample("per_channel", {2, 5, 3, 7}, {5, 1, 1}, low, high),
      binary_sample("per_last_axis", {3, 2, 19}, {19}, low, high),
      binary_sample("scalar_first", {}, {3, 7}, low, high),
      binary_sample("both_ways", {2, 1, 3, 1}, {5, 1, 7}, low, high),
      binary_sample("empty", {2, 0, 3}, {1, 3}, low, high),
      binary_sample("float16", {3, 5}, {5}, low, high, DType::kFloat16),
      binary_sample("float64", {3, 5}, {3, 1}, low, high, DType::kFloat64),
  };
  samples.push_back(
      {.name = "constant", .inputs = {random_input({2, 5, 3, 7}, low, high), random_weight({1, 5, 1, 1}, low, high)}});
  return samples;
}

std::vector<Sample> arithmetic_samples() {
  std::vector<Sample> samples = broadcast_samples(-2, 2);
  samples.push_back(binary_sample("int32", {2, 3, 5}, {3, 1}, -90, 90, DType::kInt32));
  samples.push_back(binary_sample("int64", {2, 3, 5}, {5}, -90, 90, DType::kInt64));
  samples.push_back(binary_sample("uint8", {3, 5}, {3, 5}, 0, 200, DType::kUInt8));
  return samples;
}

std::vector<Sample> div_samples() {
  std::vector<Sample> samples = broadcast_samples(0.5, 3);
  samples.push_back(
      {.name = "int32",
       .inputs = {random_input({2, 3, 5}, -90, 90, DType::kInt32), random_input({5}, 1, 9, DType::kInt32)}});
  samples.push_back(
      {.name = "uint8",
       .inputs = {random_input({3, 5}, 0, 200, DType::kUInt8), random_input({3, 5}, 1, 9, DType::kUInt8)}});
  return samples;
}

std::vector<Sample> mod_samples() {
  const Attrs fmod{{"fmod", int64_t{1}}};
  return {{.name = "int32",
           .inputs = {random_input({2, 3, 5}, -90, 90, DType::kInt32), random_input({5}, 1, 9, DType::kInt32)}},
          {.name = "negative_divisor",
           .inputs = {random_input({2, 3, 5}, -90, 90, DType::kInt64), random_input({5}, -9, -1, DType::kInt64)}},
          {.name = "truncated",
           .inputs = {random_input({3, 5}, -90, 90, DType::kInt16), random_input({3, 1}, -9, -1, DType::kInt16)},
           .attrs = fmod},
          {.name = "float", .inputs = {random_input({2, 5, 3}, -9, 9), random_input({5, 1}, 0.5, 2)}, .attrs = fmod}};
}

std::vector<Sample> pow_samples() {
  std::vector<Sample> samples = broadcast_samples(0.5, 2);
  samples.push_back(
      {.name = "integer_exponent", .inputs = {random_input({2, 5, 3}, -3, 3), random_input({3}, 0, 4, DType::kInt64)}});
  samples.push_back({.name = "int32",
                     .inputs = {random_input({3, 5}, -5, 5, DType::kInt32), random_input({5}, 0, 4, DType::kInt32)}});
  return samples;
}

OpRow arithmetic_row(std::string name, std::string doc, std::string onnx_type, RunFn run, SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"a"}, {"b"}},
          .outputs = {{"c"}},
          .infer = infer_arithmetic,
          .run = run,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = QuantRule::keep_float("an element-wise operator: neither operand is a weight"),
          .axes = axes_elementwise,
          .spellings = onnx_broadcasting(std::move(onnx_type)),
          .samples = samples};
}

}  // namespace

void add_arithmetic_op(OpTable& table) {
  OpRow add = arithmetic_row("add", "Sum of two tensors.", "Add", run_add, arithmetic_samples);
  add.absorb_into = absorb_addition;
  table.add(std::move(add));
  table.add(arithmetic_row("sub", "Difference of two tensors.", "Sub", run_sub, arithmetic_samples));
  table.add(arithmetic_row("mul", "Product, element by element.", "Mul", run_mul, arithmetic_samples));
  table.add(arithmetic_row("div", "Quotient, element by element.", "Div", run_div, div_samples));
  OpRow pow = arithmetic_row("pow", "Power, element by element.", "Pow", run_pow, pow_samples);
  pow.infer = infer_pow;
  table.add(std::move(pow));
  OpRow mod = arithmetic_row("mod", "Remainder, with the sign of the divisor or (fmod) of the dividend.", "Mod",
                             run_mod, mod_samples);
  mod.infer = infer_mod;
  mod.attrs = {int_attr("fmod", 0)};
  mod.spellings = onnx_since("Mod", 10);
  table.add(std::move(mod));
}

}  // namespace amct

// Functions of one element: absolute value, roots, exponentials, rounding, tests and negations.
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"

namespace amct {
namespace {

struct UnaryRule {
  std::string name, doc, onnx_type;
  int64_t since;
  InferFn infer;
  RunFn run;
  SamplesFn samples;
  AbsorbFn absorb = nullptr;
};

template <TypeSet allowed>
void infer_typed(InferContext& c) {
  expect_type(c, 0, allowed);
  infer_same_as_first(c);
}

bool is_bool(DType dtype) { return dtype == DType::kBool; }

template <TypeSet allowed>
void infer_test(InferContext& c) {
  expect_type(c, 0, allowed);
  c.set_output(0, DType::kBool, c.shape(0));
}

// Runs f on floats (with the vectorised kernel for float32) and g on integers.
template <typename F, typename G>
void run_number_map(RunContext& c, FloatUnary fast, F f, G g) {
  if (is_float_type(c.input(0).dtype)) return run_float_map(c, fast, f);
  visit_integers(c.input(0).dtype, [&]<typename T>(Tag<T>) { map_elements<T, T>(c, g); });
}

template <typename T>
T wrapped_negative(T x) {
  return static_cast<T>(Wrapping<T>{0} - static_cast<Wrapping<T>>(x));
}

void run_abs(RunContext& c) {
  run_number_map(
      c, FloatUnary::kAbs, [](auto x) { return std::abs(x); }, [](auto x) { return x < 0 ? wrapped_negative(x) : x; });
}

void run_neg(RunContext& c) {
  run_number_map(
      c, FloatUnary::kNeg, [](auto x) { return -x; }, [](auto x) { return wrapped_negative(x); });
}

void run_sign(RunContext& c) {
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    map_elements<T, T>(c, [](Compute<T> x) {
      if (x != x) return x;
      return static_cast<Compute<T>>((x > 0 ? 1 : 0) - (x < 0 ? 1 : 0));
    });
  });
}

void run_is_nan(RunContext& c) {
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) { map_elements<T, bool>(c, [](auto x) { return x != x; }); });
}

void run_is_inf(RunContext& c) {
  const bool positive = attr_int(c.node(), "detect_positive") != 0;
  const bool negative = attr_int(c.node(), "detect_negative") != 0;
  visit_floats(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    map_elements<T, bool>(c, [=](auto x) { return std::isinf(x) && (x > 0 ? positive : negative); });
  });
}

void run_not(RunContext& c) {
  map_elements<bool, bool>(c, [](bool x) { return !x; });
}

void run_bitwise_not(RunContext& c) {
  visit_integers(c.input(0).dtype,
                 [&]<typename T>(Tag<T>) { map_elements<T, T>(c, [](T x) { return static_cast<T>(~x); }); });
}

std::vector<Sample> with_integers(std::vector<Sample> samples, std::vector<DType> types) {
  for (const DType dtype : types) {
    samples.push_back(
        unary_sample(std::string(name_of(dtype)), {3, 1, 7}, is_signed_integer(dtype) ? -90 : 0, 90, dtype));
  }
  return samples;
}

// One value of each interesting kind among random ones.
Sample special_sample(std::string name, std::vector<float> values, Attrs attrs = {}) {
  const auto n = static_cast<int64_t>(values.size());
  SampleInput input{.dtype = DType::kFloat32, .dims = {n}, .value = Tensor::of<float>({n}, values)};
  return {.name = std::move(name), .inputs = {std::move(input)}, .attrs = std::move(attrs)};
}

std::vector<Sample> is_inf_samples() {
  const std::vector<float> values = {0, 1.5f, INFINITY, -INFINITY, NAN, -3};
  return {special_sample("both", values), special_sample("positive", values, {{"detect_negative", int64_t{0}}}),
          special_sample("negative", values, {{"detect_positive", int64_t{0}}})};
}

std::vector<Sample> integer_samples() {
  return with_integers({}, {DType::kInt8, DType::kUInt8, DType::kInt16, DType::kInt32, DType::kInt64, DType::kUInt64});
}

std::vector<UnaryRule> function_rules() {
  return {
      {"abs", "Absolute value.", "Abs", 1, infer_typed<is_number_type>, run_abs,
       [] {
         return with_integers(float_samples(-2, 2), {DType::kInt8, DType::kInt32, DType::kInt64, DType::kUInt8});
       },
       absorb_plain<Epilogue::Kind::kAbs>},
      {"neg", "Negative.", "Neg", 1, infer_typed<is_signed_type>, run_neg,
       [] {
         return with_integers(float_samples(-2, 2), {DType::kInt8, DType::kInt32, DType::kInt64});
       }},
      {"sign", "Sign: -1, 0 or 1.", "Sign", 9, infer_typed<is_number_type>, run_sign,
       [] {
         return with_integers(float_samples(-2, 2), {DType::kInt8, DType::kInt64, DType::kUInt8});
       }},
      {"sqrt", "Square root.", "Sqrt", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kSqrt, [](auto x) { return std::sqrt(x); }); },
       [] { return float_samples(0, 5); }, absorb_plain<Epilogue::Kind::kSqrt>},
      {"exp", "Exponential.", "Exp", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kExp, [](auto x) { return std::exp(x); }); },
       [] { return float_samples(-4, 4); }, absorb_plain<Epilogue::Kind::kExp>},
      {"log", "Natural logarithm.", "Log", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, [](auto x) { return std::log(x); }); },
       [] { return float_samples(0.05, 5); }, absorb_plain<Epilogue::Kind::kLog>},
      {"reciprocal", "1 / x.", "Reciprocal", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kReciprocal, [](auto x) { return 1 / x; }); },
       [] { return float_samples(0.2, 3); }},
      {"erf", "Error function.", "Erf", 9, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kErf, [](auto x) { return std::erf(x); }); },
       [] { return float_samples(-4, 4); }},
  };
}

std::vector<UnaryRule> rounding_rules() {
  return {
      {"ceil", "Smallest integer not below x.", "Ceil", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kCeil, [](auto x) { return std::ceil(x); }); },
       [] { return float_samples(-4, 4); }},
      {"floor", "Largest integer not above x.", "Floor", 1, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kFloor, [](auto x) { return std::floor(x); }); },
       [] { return float_samples(-4, 4); }},
      {"round", "Nearest integer, halves to even.", "Round", 11, infer_typed<is_float_type>,
       [](RunContext& c) { run_float_map(c, FloatUnary::kRound, [](auto x) { return std::nearbyint(x); }); },
       [] {
         std::vector<Sample> samples = float_samples(-4, 4);
         samples.push_back(special_sample("halves", {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 8388609.0f}));
         return samples;
       }},
  };
}

std::vector<UnaryRule> test_rules() {
  return {
      {"is_nan", "True where x is not a number.", "IsNaN", 9, infer_test<is_float_type>, run_is_nan,
       [] {
         return std::vector<Sample>{special_sample("mixed", {0, NAN, INFINITY, -1, NAN})};
       }},
      {"not", "Logical negation.", "Not", 1, infer_typed<is_bool>, run_not,
       [] {
         return std::vector<Sample>{unary_sample("bool", {3, 1, 7}, 0, 1, DType::kBool)};
       }},
      {"bitwise_not", "Negation of every bit.", "BitwiseNot", 18, infer_typed<is_integer_type>, run_bitwise_not,
       integer_samples},
  };
}

OpRow unary_row(const UnaryRule& rule) {
  return {.name = rule.name,
          .doc = rule.doc,
          .inputs = {{"x"}},
          .outputs = {{"y"}},
          .infer = rule.infer,
          .run = rule.run,
          .layout = LayoutRule::kFollow,
          .absorb_into = rule.absorb,
          .in_place = true,
          .quant = QuantRule::keep_float("an element-wise function without weights"),
          .axes = axes_elementwise,
          .spellings = onnx_since(rule.onnx_type, rule.since),
          .samples = rule.samples};
}

OpRow is_inf_row() {
  OpRow row = unary_row(
      {"is_inf", "True where x is infinite.", "IsInf", 10, infer_test<is_float_type>, run_is_inf, is_inf_samples});
  row.attrs = {int_attr("detect_positive", 1), int_attr("detect_negative", 1)};
  return row;
}

}  // namespace

void add_unary_op(OpTable& table) {
  for (const auto& rules : {function_rules(), rounding_rules(), test_rules()}) {
    for (const UnaryRule& rule : rules) table.add(unary_row(rule));
  }
  table.add(is_inf_row());
}

}  // namespace amct

// Activation functions of one input.
//
//   leaky_relu x < 0 ? a x : x                 elu  x < 0 ? a (e^x - 1) : x      celu  max(0,x) + min(0, a (e^(x/a) -
//   1)) selu  g (x > 0 ? x : a e^x - a)            softplus  log(1 + e^x)            softsign  x / (1 + |x|) mish  x
//   tanh(softplus(x))                  hard_sigmoid  max(0, min(1, a x + b)) hard_swish  x hard_sigmoid(x; 1/6, 1/2)
//   gelu  x/2 (1 + erf(x / sqrt 2)), or with tanh(sqrt(2/pi) (x + 0.044715 x^3)) thresholded_relu  x > a ? x : 0 shrink
//   x < -l ? x + b : x > l ? x - b : 0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ops/composition.h"
#include "ops/elementwise.h"

namespace amct {
namespace {

constexpr const char* kReason = "an activation function: it runs on the values of the layer before it";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <TypeSet allowed>
void infer_activation(InferContext& c) {
  expect_type(c, 0, allowed);
  infer_same_as_first(c);
}

void infer_gelu(InferContext& c) {
  const std::string approximate = attr_string(c.node(), "approximate");
  if (approximate != "none" && approximate != "tanh") {
    c.fail("attribute 'approximate' is '" + approximate + "'", "it must be 'none' or 'tanh'");
  }
  infer_activation<is_float_type>(c);
}

OpRow activation_row(std::string name, std::string doc, std::string onnx_type, int64_t since, RunFn run,
                     SamplesFn samples, AbsorbFn absorb = nullptr, std::vector<AttrSpec> attrs = {},
                     QuantRule quant = QuantRule::keep_float(kReason)) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"x"}},
          .outputs = {{"y"}},
          .attrs = std::move(attrs),
          .infer = infer_activation<is_float_type>,
          .run = run,
          .layout = LayoutRule::kFollow,
          .absorb_into = absorb,
          .in_place = true,
          .quant = std::move(quant),
          .axes = axes_elementwise,
          .spellings = onnx_since(std::move(onnx_type), since),
          .samples = samples};
}

template <typename T>
T softplus(T x) {
  return std::max(x, T{0}) + std::log1p(std::exp(-std::abs(x)));
}

void run_relu(RunContext& c) {
  if (is_float_type(c.input(0).dtype)) {
    return run_float_map(
        c, FloatUnary::kClip, [](auto x) { return x < 0 ? 0 : x; }, 0, kInfinity);
  }
  visit_integers(c.input(0).dtype,
                 [&]<typename T>(Tag<T>) { map_elements<T, T>(c, [](T x) { return std::max(x, T{0}); }); });
}

void run_leaky_relu(RunContext& c) {
  const double alpha = attr_float(c.node(), "alpha");
  run_float_map(
      c, FloatUnary::kLeakyRelu, [=]<typename T>(T x) { return x < 0 ? static_cast<T>(alpha) * x : x; }, alpha);
}

void run_scaled_elu(RunContext& c, double alpha, double gamma) {
  run_float_map(
      c, FloatUnary::kElu,
      [=]<typename T>(T x) { return static_cast<T>(gamma) * (x < 0 ? static_cast<T>(alpha) * std::expm1(x) : x); },
      alpha, gamma);
}

void run_celu(RunContext& c) {
  const double alpha = attr_float(c.node(), "alpha");
  run_float_map(c, [=]<typename T>(T x) {
    const T a = static_cast<T>(alpha);
    return x < 0 ? a * std::expm1(x / a) : x;
  });
}

void run_hard_sigmoid(RunContext& c) {
  const double alpha = attr_float(c.node(), "alpha");
  const double beta = attr_float(c.node(), "beta");
  run_float_map(
      c, FloatUnary::kHardSigmoid,
      [=]<typename T>(T x) { return std::clamp(static_cast<T>(alpha) * x + static_cast<T>(beta), T{0}, T{1}); }, alpha,
      beta);
}

void run_hard_swish(RunContext& c) {
  run_float_map(c, FloatUnary::kHardSwish, []<typename T>(T x) { return x * std::clamp(x / 6 + T{0.5}, T{0}, T{1}); });
}

void run_gelu(RunContext& c) {
  if (attr_string(c.node(), "approximate") == "none") {
    return run_float_map(c, FloatUnary::kGeluErf,
                         []<typename T>(T x) { return x / 2 * (1 + std::erf(x / std::numbers::sqrt2_v<T>)); });
  }
  run_float_map(c, FloatUnary::kGeluTanh, []<typename T>(T x) {
    const T inner = std::sqrt(2 * std::numbers::inv_pi_v<T>) * (x + static_cast<T>(0.044715) * x * x * x);
    return x / 2 * (1 + std::tanh(inner));
  });
}

void run_thresholded_relu(RunContext& c) {
  const double alpha = attr_float(c.node(), "alpha");
  run_float_map(c, [=]<typename T>(T x) { return x > static_cast<T>(alpha) ? x : T{0}; });
}

void run_shrink(RunContext& c) {
  const double lambda = attr_float(c.node(), "lambd");
  const double bias = attr_float(c.node(), "bias");
  visit_numbers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    map_elements<T, T>(c, [=](Compute<T> x) {
      const auto wide = static_cast<double>(x);
      const double y = wide < -lambda ? wide + bias : wide > lambda ? wide - bias : 0;
      if constexpr (kIsIntegerType<T>)
        return to_integer<T>(y);
      else
        return static_cast<Compute<T>>(y);
    });
  });
}

template <Epilogue::Kind kind>
std::optional<Epilogue> absorb_alpha(const AbsorbQuery& q) {
  return Epilogue{.kind = kind, .alpha = static_cast<float>(attr_float(q.node, "alpha"))};
}

std::optional<Epilogue> absorb_relu(const AbsorbQuery&) {
  return Epilogue{.kind = Epilogue::Kind::kClip, .alpha = 0, .beta = std::numeric_limits<float>::infinity()};
}

std::optional<Epilogue> absorb_hard_sigmoid(const AbsorbQuery& q) {
  return Epilogue{.kind = Epilogue::Kind::kHardSigmoid,
                  .alpha = static_cast<float>(attr_float(q.node, "alpha")),
                  .beta = static_cast<float>(attr_float(q.node, "beta"))};
}

std::optional<Epilogue> absorb_gelu(const AbsorbQuery& q) {
  const bool exact = attr_string(q.node, "approximate") == "none";
  return Epilogue{exact ? Epilogue::Kind::kGeluErf : Epilogue::Kind::kGeluTanh};
}

std::vector<Sample> plain_samples() { return float_samples(-4, 4); }

std::vector<Sample> with_attrs(std::vector<Sample> samples, Attrs attrs) {
  samples.push_back(unary_sample("attributes", {2, 3, 5}, -4, 4, DType::kFloat32, std::move(attrs)));
  return samples;
}

void add_rectifiers(OpTable& table) {
  OpRow relu = activation_row(
      "relu", "Rectified linear unit: max(x, 0).", "Relu", 1, run_relu,
      [] {
        std::vector<Sample> samples = plain_samples();
        for (const DType dtype : {DType::kInt8, DType::kInt32}) {
          samples.push_back(unary_sample(std::string(name_of(dtype)), {3, 1, 7}, -90, 90, dtype));
        }
        return samples;
      },
      absorb_relu);
  relu.infer = infer_activation<is_signed_type>;
  table.add(std::move(relu));
  table.add(activation_row("leaky_relu", "Linear unit with a slope below zero.", "LeakyRelu", 1, run_leaky_relu,
                           [] {
                             return with_attrs(plain_samples(), {{"alpha", 0.3}});
                           },
                           absorb_alpha<Epilogue::Kind::kLeakyRelu>, {float_attr("alpha", 0.01)}));
  table.add(activation_row("thresholded_relu", "x above a threshold, else 0.", "ThresholdedRelu", 10,
                           run_thresholded_relu,
                           [] {
                             return with_attrs(plain_samples(), {{"alpha", 0.3}});
                           },
                           nullptr, {float_attr("alpha", 1.0)}));
  OpRow shrink = activation_row(
      "shrink", "Pulls values towards zero and cuts off those near it.", "Shrink", 9, run_shrink,
      [] {
        std::vector<Sample> samples = with_attrs(plain_samples(), {{"lambd", 1.5}, {"bias", 0.75}});
        samples.push_back(unary_sample("int32", {3, 1, 7}, -9, 9, DType::kInt32, {{"lambd", 2.0}, {"bias", 1.0}}));
        return samples;
      },
      nullptr, {float_attr("lambd", 0.5), float_attr("bias", 0.0)});
  shrink.infer = infer_activation<is_number_type>;
  table.add(std::move(shrink));
}

void add_exponential_units(OpTable& table) {
  table.add(activation_row(
      "elu", "Exponential linear unit.", "Elu", 1,
      [](RunContext& c) { run_scaled_elu(c, attr_float(c.node(), "alpha"), 1); },
      [] {
        return with_attrs(plain_samples(), {{"alpha", 1.7}});
      },
      absorb_alpha<Epilogue::Kind::kElu>, {float_attr("alpha", 1.0)}));
  table.add(activation_row(
      "selu", "Scaled exponential linear unit.", "Selu", 1,
      [](RunContext& c) { run_scaled_elu(c, attr_float(c.node(), "alpha"), attr_float(c.node(), "gamma")); },
      [] {
        return with_attrs(plain_samples(), {{"alpha", 1.7}, {"gamma", 1.25}});
      },
      nullptr, {float_attr("alpha", 1.67326319217681884765625), float_attr("gamma", 1.05070102214813232421875)}));
  table.add(activation_row(
      "celu", "Continuously differentiable exponential linear unit.", "Celu", 12, run_celu,
      [] {
        return with_attrs({unary_sample("image", {2, 5, 3, 7}, -4, 4, DType::kFloat32)}, {{"alpha", 2.5}});
      },
      nullptr, {float_attr("alpha", 1.0)}));
}

void add_gates(OpTable& table) {
  table.add(activation_row(
      "sigmoid", "Logistic function.", "Sigmoid", 1,
      [](RunContext& c) { run_float_map(c, FloatUnary::kSigmoid, [](auto x) { return 1 / (1 + std::exp(-x)); }); },
      plain_samples, absorb_plain<Epilogue::Kind::kSigmoid>, {}, QuantRule::fixed_range(0, 1)));
  table.add(activation_row(
      "tanh", "Hyperbolic tangent.", "Tanh", 1,
      [](RunContext& c) { run_float_map(c, FloatUnary::kTanh, [](auto x) { return std::tanh(x); }); }, plain_samples,
      absorb_plain<Epilogue::Kind::kTanh>, {}, QuantRule::fixed_range(-1, 1)));
  table.add(activation_row(
      "hard_sigmoid", "Piecewise linear sigmoid.", "HardSigmoid", 1, run_hard_sigmoid,
      [] {
        return with_attrs(plain_samples(), {{"alpha", 0.375}, {"beta", 0.25}});
      },
      absorb_hard_sigmoid, {float_attr("alpha", 0.2), float_attr("beta", 0.5)}, QuantRule::fixed_range(0, 1)));
  table.add(activation_row("hard_swish", "Piecewise swish.", "HardSwish", 14, run_hard_swish, plain_samples,
                           absorb_plain<Epilogue::Kind::kHardSwish>));
  table.add(activation_row(
      "softsign", "x / (1 + |x|).", "Softsign", 1,
      [](RunContext& c) { run_float_map(c, [](auto x) { return x / (1 + std::abs(x)); }); }, plain_samples, nullptr, {},
      QuantRule::fixed_range(-1, 1)));
}

// com.microsoft has a type for each of the two.
void export_microsoft_gelu(ExportContext& c) {
  const bool exact = attr_string(c.node(), "approximate") == "none";
  c.emit_as(exact ? "Gelu" : "FastGelu", {c.value_name(c.node().input(0))}, {});
}

void add_smooth_units(OpTable& table) {
  table.add(activation_row(
      "softplus", "log(1 + exp(x)).", "Softplus", 1,
      [](RunContext& c) { run_float_map(c, FloatUnary::kSoftplus, [](auto x) { return softplus(x); }); }, plain_samples,
      absorb_plain<Epilogue::Kind::kSoftplus>));
  table.add(activation_row(
      "mish", "x tanh(softplus(x)).", "Mish", 18,
      [](RunContext& c) { run_float_map(c, FloatUnary::kMish, [](auto x) { return x * std::tanh(softplus(x)); }); },
      plain_samples));
  OpRow gelu = activation_row("gelu", "Gaussian error linear unit, exact or by tanh.", "Gelu", 20, run_gelu,
                              [] {
                                return with_attrs(plain_samples(), {{"approximate", std::string("tanh")}});
                              },
                              absorb_gelu, {string_attr("approximate", "none")});
  gelu.infer = infer_gelu;
  gelu.spellings.push_back({.domain = kMicrosoft, .type = "Gelu", .export_ = export_microsoft_gelu});
  table.add(std::move(gelu));
}

}  // namespace

void add_activation_op(OpTable& table) {
  add_rectifiers(table);
  add_exponential_units(table);
  add_gates(table);
  add_smooth_units(table);
}

}  // namespace amct

// Circular and hyperbolic functions and their inverses, of floats.
#include <cmath>

#include "ops/elementwise.h"

namespace amct {
namespace {

void infer_float(InferContext& c) {
  expect_type(c, 0, is_float_type);
  infer_same_as_first(c);
}

OpRow trigonometric_row(std::string name, std::string doc, std::string onnx_type, int64_t since, RunFn run,
                        SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"x"}},
          .outputs = {{"y"}},
          .infer = infer_float,
          .run = run,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = QuantRule::keep_float("an element-wise function without weights"),
          .axes = axes_elementwise,
          .spellings = onnx_since(std::move(onnx_type), since),
          .samples = samples};
}

void add_circular(OpTable& table) {
  table.add(trigonometric_row(
      "sin", "Sine.", "Sin", 7, [](RunContext& c) { run_float_map(c, [](auto x) { return std::sin(x); }); },
      [] { return float_samples(-6, 6); }));
  table.add(trigonometric_row(
      "cos", "Cosine.", "Cos", 7, [](RunContext& c) { run_float_map(c, [](auto x) { return std::cos(x); }); },
      [] { return float_samples(-6, 6); }));
  table.add(trigonometric_row(
      "tan", "Tangent.", "Tan", 7, [](RunContext& c) { run_float_map(c, [](auto x) { return std::tan(x); }); },
      [] { return float_samples(-1.2, 1.2); }));
  table.add(trigonometric_row(
      "asin", "Inverse sine.", "Asin", 7, [](RunContext& c) { run_float_map(c, [](auto x) { return std::asin(x); }); },
      [] { return float_samples(-1, 1); }));
  table.add(trigonometric_row(
      "acos", "Inverse cosine.", "Acos", 7,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::acos(x); }); },
      [] { return float_samples(-1, 1); }));
  table.add(trigonometric_row(
      "atan", "Inverse tangent.", "Atan", 7,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::atan(x); }); },
      [] { return float_samples(-5, 5); }));
}

void add_hyperbolic(OpTable& table) {
  table.add(trigonometric_row(
      "sinh", "Hyperbolic sine.", "Sinh", 9,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::sinh(x); }); },
      [] { return float_samples(-3, 3); }));
  table.add(trigonometric_row(
      "cosh", "Hyperbolic cosine.", "Cosh", 9,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::cosh(x); }); },
      [] { return float_samples(-3, 3); }));
  table.add(trigonometric_row(
      "asinh", "Inverse hyperbolic sine.", "Asinh", 9,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::asinh(x); }); },
      [] { return float_samples(-5, 5); }));
  table.add(trigonometric_row(
      "acosh", "Inverse hyperbolic cosine.", "Acosh", 9,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::acosh(x); }); },
      [] { return float_samples(1.05, 5); }));
  table.add(trigonometric_row(
      "atanh", "Inverse hyperbolic tangent.", "Atanh", 9,
      [](RunContext& c) { run_float_map(c, [](auto x) { return std::atanh(x); }); },
      [] { return float_samples(-0.9, 0.9); }));
}

}  // namespace

void add_trigonometric_op(OpTable& table) {
  add_circular(table);
  add_hyperbolic(table);
}

}  // namespace amct

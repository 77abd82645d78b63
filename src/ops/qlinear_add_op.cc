// The sum of two quantized tensors of one shape, quantized again:
//   y = sat(round(((a - a_zero) * a_scale + (b - b_zero) * b_scale) / y_scale) + y_zero), each step in float32:
// what dequantize_linear, add and quantize_linear give one after the other, without floats in memory. Graphs are
// lowered to it for execution; files spell it out.
#include <fmt/core.h>

#include "kernels/simd/quantize_linear.h"
#include "ops/input_checks.h"
#include "ops/integer_epilogue.h"
#include "ops/quantize_common.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

enum : size_t { kA, kAScale, kAZero, kB, kBScale, kBZero, kYScale, kYZero };

void infer(InferContext& c) {
  check_8_bits(c, kA);
  check_8_bits(c, kB);
  check_8_bits(c, kYZero);
  for (const size_t scale : {kAScale, kBScale, kYScale}) check_scale_type(c, scale);
  check_zero_type(c, kAZero, kA);
  check_zero_type(c, kBZero, kB);
  for (const size_t port : {kAScale, kAZero, kBScale, kBZero, kYScale, kYZero}) expect_single(c, port);
  const auto a = c.shape(kA).fixed(), b = c.shape(kB).fixed();
  if (a && b && *a != *b) c.fail(fmt::format("shapes {} and {} differ", to_string(*a), to_string(*b)));
  c.set_output(0, c.dtype(kYZero), c.shape(kA));
}

QuantizedAddend addend(const TensorView& x, double scale, double zero) {
  return {x.data, x.dtype == DType::kInt8, static_cast<float>(scale), static_cast<float>(zero)};
}

void run(RunContext& c) {
  const auto number = [&](size_t port) { return floats_of(c.input(port)).at(0); };
  const auto integer = [&](size_t port) { return integers_of(c.input(port)).at(0); };
  const IntegerBounds bounds = integer_bounds(c.output(0).dtype);
  const LinearQuantizer quantizer{.scale = number(kYScale),
                                  .zero = integer(kYZero),
                                  .low = static_cast<int32_t>(bounds.low),
                                  .high = static_cast<int32_t>(bounds.high)};
  const QuantizedAddend a = addend(c.input(kA), number(kAScale), integer(kAZero));
  const QuantizedAddend b = addend(c.input(kB), number(kBScale), integer(kBZero));
  const auto count = static_cast<size_t>(c.output(0).size());
  if (c.output(0).dtype == DType::kInt8) {
    add_quantized(a, b, c.output(0).as<int8_t>(), count, quantizer);
  } else {
    add_quantized(a, b, c.output(0).as<uint8_t>(), count, quantizer);
  }
}

// Behind a layer that gives one of the operands.
std::optional<Epilogue> absorb(const AbsorbQuery& q) {
  if (q.through != kA && q.through != kB) return std::nullopt;
  const ValueId other = q.node.input(q.through == kA ? kB : kA);
  if (other == q.node.input(q.through) || q.graph.constant(other) != nullptr) return std::nullopt;
  std::vector<float> numbers;
  for (size_t port = 0; port <= kYZero; ++port) {
    const Tensor* tensor = q.graph.constant(q.node.input(port));
    if (port == kA || port == kB) {
      numbers.push_back(0);
    } else if (tensor == nullptr) {
      return std::nullopt;
    } else {
      numbers.push_back(static_cast<float>(tensor->to_doubles().at(0)));
    }
  }
  const size_t own = q.through, its = q.through == kA ? kB : kA;
  const DType result = q.dtype(q.node.output());
  const IntegerBounds bounds = integer_bounds(result);
  Epilogue epilogue =
      integer_stages({{.kind = IntStage::Kind::kDequantize, .scale = numbers[own + 1], .zero = numbers[own + 2]},
                      {.kind = IntStage::Kind::kAddQuantized,
                       .scale = numbers[its + 1],
                       .zero = numbers[its + 2],
                       .operand_is_signed = q.dtype(other) == DType::kInt8},
                      {.kind = IntStage::Kind::kQuantize,
                       .low = static_cast<float>(bounds.low),
                       .high = static_cast<float>(bounds.high),
                       .scale = numbers[kYScale],
                       .zero = numbers[kYZero],
                       .divides = true}},
                     result);
  epilogue.operand = other;
  return epilogue;
}

SampleInput scalar(float value) { return fixed(Tensor::scalar<float>(value)); }

std::vector<Sample> samples() {
  const auto zero = [](uint8_t value) { return fixed(Tensor::scalar<uint8_t>(value)); };
  const auto signed_zero = [](int8_t value) { return fixed(Tensor::scalar<int8_t>(value)); };
  const std::string reason = "files spell it as three operators";
  return {
      {.name = "uint8",
       .inputs = {random_input({2, 3, 5, 7}, 0, 255, DType::kUInt8), scalar(0.02f), zero(117),
                  random_input({2, 3, 5, 7}, 0, 255, DType::kUInt8), scalar(0.013f), zero(3), scalar(0.03f), zero(100)},
       .skip_onnx_runtime = true,
       .reason = reason},
      {.name = "mixed_types",
       .inputs = {random_input({3, 11}, -128, 127, DType::kInt8), scalar(0.02f), signed_zero(-7),
                  random_input({3, 11}, 0, 255, DType::kUInt8), scalar(0.013f), zero(3), scalar(0.02f),
                  signed_zero(11)},
       .skip_onnx_runtime = true,
       .reason = reason}};
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.input(kA).size(); ++axis) {
    if (c.input(kA)[axis] <= 1) continue;
    relations.push_back(tie(c.input(kA)[axis], {in_axis(kA, axis), in_axis(kB, axis), out_axis(0, axis)}));
  }
  return relations;
}

}  // namespace

void add_qlinear_add_op(OpTable& table) {
  const auto parameter = [](std::string name) { return InputPort{.name = std::move(name), .role = Role::kParameter}; };
  table.add({.name = "qlinear_add",
             .doc = "Sum of two quantized tensors of one shape, quantized again.",
             .inputs = {{.name = "a"},
                        parameter("a_scale"),
                        parameter("a_zero_point"),
                        {.name = "b"},
                        parameter("b_scale"),
                        parameter("b_zero_point"),
                        parameter("y_scale"),
                        parameter("y_zero_point")},
             .outputs = {{.name = "y"}},
             .infer = infer,
             .run = run,
             .layout = LayoutRule::kFollow,
             .absorb_into = absorb,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes,
             .samples = samples});
}

}  // namespace amct

// Comparisons, logic of truth values and of bits, shifts: two broadcast operands.
#include <fmt/core.h>

#include "ops/elementwise.h"

namespace amct {
namespace {

bool is_bool(DType dtype) { return dtype == DType::kBool; }
bool is_comparable(DType dtype) { return is_number_type(dtype) || is_bool(dtype); }

template <TypeSet allowed>
void infer_comparison(InferContext& c) {
  expect_type(c, 0, allowed);
  expect_same_types(c);
  infer_broadcast(c);
  c.set_output(0, DType::kBool, c.outputs()[0].shape);
}

template <TypeSet allowed>
void infer_bits(InferContext& c) {
  expect_type(c, 0, allowed);
  expect_same_types(c);
  infer_broadcast(c);
}

void infer_shift(InferContext& c) {
  const std::string direction = attr_string(c.node(), "direction");
  if (direction != "LEFT" && direction != "RIGHT") {
    c.fail(fmt::format("attribute 'direction' is '{}'", direction), "it must be LEFT or RIGHT");
  }
  infer_bits<is_unsigned_type>(c);
}

template <typename F>
void run_comparison(RunContext& c, F f) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  visit_numeric(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    broadcast_binary(plan, c.input(0).as<T>(), c.input(1).as<T>(), c.output(0).as<bool>(), f);
  });
}

template <typename F>
void run_logic(RunContext& c, F f) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  broadcast_binary(plan, c.input(0).as<bool>(), c.input(1).as<bool>(), c.output(0).as<bool>(), f);
}

template <typename F>
void run_bits(RunContext& c, F f) {
  const BroadcastPlan plan = plan_inputs(c, {0, 1});
  visit_integers(c.input(0).dtype, [&]<typename T>(Tag<T>) {
    broadcast_binary(plan, c.input(0).as<T>(), c.input(1).as<T>(), c.output(0).as<T>(),
                     [f](T a, T b) { return static_cast<T>(f(a, b)); });
  });
}

// A shift by the width or more leaves nothing.
void run_shift(RunContext& c) {
  const bool left = attr_string(c.node(), "direction") == "LEFT";
  run_bits(c, [left]<typename T>(T x, T by) -> T {
    if constexpr (std::is_signed_v<T>) {
      internal_error("a shift of signed integers");
    } else {
      if (by >= sizeof(T) * 8) return 0;
      return left ? static_cast<T>(static_cast<Wrapping<T>>(x) << by) : static_cast<T>(x >> by);
    }
  });
}

std::vector<Sample> comparison_samples() {
  return {binary_sample("float", {2, 5, 3, 7}, {5, 1, 1}, -1, 1),
          binary_sample("float64", {3, 5}, {5}, -1, 1, DType::kFloat64),
          binary_sample("int32", {2, 3, 5}, {3, 1}, -2, 2, DType::kInt32),
          binary_sample("int64", {2, 3, 5}, {2, 3, 5}, -2, 2, DType::kInt64),
          binary_sample("both_ways", {3, 1}, {5}, -2, 2, DType::kInt32)};
}

std::vector<Sample> equal_samples() {
  std::vector<Sample> samples = comparison_samples();
  samples.push_back(binary_sample("bool", {3, 5}, {5}, 0, 1, DType::kBool));
  return samples;
}

std::vector<Sample> bool_samples() {
  return {binary_sample("same_shape", {2, 5, 3}, {2, 5, 3}, 0, 1, DType::kBool),
          binary_sample("both_ways", {3, 1}, {2, 1, 5}, 0, 1, DType::kBool)};
}

std::vector<Sample> bits_samples() {
  return {binary_sample("int32", {2, 3, 5}, {3, 1}, -90, 90, DType::kInt32),
          binary_sample("uint8", {3, 5}, {3, 5}, 0, 255, DType::kUInt8),
          binary_sample("int64", {3, 5}, {5}, -90, 90, DType::kInt64)};
}

std::vector<Sample> shift_samples() {
  const auto sample = [](std::string name, DType dtype, std::string direction) {
    return Sample{.name = std::move(name),
                  .inputs = {random_input({2, 3, 5}, 0, 200, dtype), random_input({3, 1}, 0, 7, dtype)},
                  .attrs = {{"direction", std::move(direction)}}};
  };
  return {sample("left_uint8", DType::kUInt8, "LEFT"), sample("right_uint8", DType::kUInt8, "RIGHT"),
          sample("left_uint64", DType::kUInt64, "LEFT"), sample("right_uint32", DType::kUInt32, "RIGHT")};
}

OpRow logical_row(std::string name, std::string doc, std::vector<Spelling> spellings, InferFn infer, RunFn run,
                  SamplesFn samples) {
  return {.name = std::move(name),
          .doc = std::move(doc),
          .inputs = {{"a"}, {"b"}},
          .outputs = {{"c"}},
          .infer = infer,
          .run = run,
          .layout = LayoutRule::kFollow,
          .in_place = true,
          .quant = QuantRule::keep_float("its results are truth values or bits, not quantities"),
          .axes = axes_elementwise,
          .spellings = std::move(spellings),
          .samples = samples};
}

void add_comparisons(OpTable& table) {
  table.add(logical_row(
      "equal", "True where a = b.", onnx_broadcasting("Equal"), infer_comparison<is_comparable>,
      [](RunContext& c) { run_comparison(c, [](auto a, auto b) { return a == b; }); }, equal_samples));
  table.add(logical_row(
      "greater", "True where a > b.", onnx_broadcasting("Greater"), infer_comparison<is_number_type>,
      [](RunContext& c) { run_comparison(c, [](auto a, auto b) { return a > b; }); }, comparison_samples));
  table.add(logical_row(
      "less", "True where a < b.", onnx_broadcasting("Less"), infer_comparison<is_number_type>,
      [](RunContext& c) { run_comparison(c, [](auto a, auto b) { return a < b; }); }, comparison_samples));
  table.add(logical_row(
      "greater_or_equal", "True where a >= b.", onnx_since("GreaterOrEqual", 12), infer_comparison<is_number_type>,
      [](RunContext& c) { run_comparison(c, [](auto a, auto b) { return a >= b; }); }, comparison_samples));
  table.add(logical_row(
      "less_or_equal", "True where a <= b.", onnx_since("LessOrEqual", 12), infer_comparison<is_number_type>,
      [](RunContext& c) { run_comparison(c, [](auto a, auto b) { return a <= b; }); }, comparison_samples));
}

void add_logic(OpTable& table) {
  table.add(logical_row(
      "and", "True where both are.", onnx_broadcasting("And"), infer_comparison<is_bool>,
      [](RunContext& c) { run_logic(c, [](bool a, bool b) { return a && b; }); }, bool_samples));
  table.add(logical_row(
      "or", "True where either is.", onnx_broadcasting("Or"), infer_comparison<is_bool>,
      [](RunContext& c) { run_logic(c, [](bool a, bool b) { return a || b; }); }, bool_samples));
  table.add(logical_row(
      "xor", "True where just one is.", onnx_broadcasting("Xor"), infer_comparison<is_bool>,
      [](RunContext& c) { run_logic(c, [](bool a, bool b) { return a != b; }); }, bool_samples));
}

void add_bits(OpTable& table) {
  table.add(logical_row(
      "bitwise_and", "Bits that are set in both.", onnx_since("BitwiseAnd", 18), infer_bits<is_integer_type>,
      [](RunContext& c) { run_bits(c, [](auto a, auto b) { return a & b; }); }, bits_samples));
  table.add(logical_row(
      "bitwise_or", "Bits that are set in either.", onnx_since("BitwiseOr", 18), infer_bits<is_integer_type>,
      [](RunContext& c) { run_bits(c, [](auto a, auto b) { return a | b; }); }, bits_samples));
  table.add(logical_row(
      "bitwise_xor", "Bits that are set in just one.", onnx_since("BitwiseXor", 18), infer_bits<is_integer_type>,
      [](RunContext& c) { run_bits(c, [](auto a, auto b) { return a ^ b; }); }, bits_samples));
  OpRow shift = logical_row("bit_shift", "Shifts the bits of unsigned integers.", onnx_since("BitShift", 11),
                            infer_shift, run_shift, shift_samples);
  shift.attrs = {required_attr("direction", AttrType::kString)};
  table.add(std::move(shift));
}

}  // namespace

void add_logical_op(OpTable& table) {
  add_comparisons(table);
  add_logic(table);
  add_bits(table);
}

}  // namespace amct

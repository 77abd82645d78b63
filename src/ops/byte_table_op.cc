// A function of one quantized value as a table of all its results: y = table[x], x as an unsigned byte. What stands
// between dequantization and quantization of 8 bits, an activation say, is one. Graphs are lowered to it for execution;
// files spell the function out.
#include <fmt/core.h>

#include "kernels/simd/byte_table.h"
#include "ops/elementwise.h"
#include "ops/quantized_operand.h"

namespace amct {
namespace {

constexpr int64_t kEntries = 256;

void infer(InferContext& c) {
  check_8_bits(c, 0);
  check_8_bits(c, 1);
  const auto table = c.shape(1).fixed();
  if (table && *table != Dims{kEntries}) c.fail(fmt::format("its table has shape {}, not [256]", to_string(*table)));
  c.set_output(0, c.dtype(1), c.shape(0));
}

void run(RunContext& c) {
  const auto bytes = [](const TensorView& view) { return static_cast<const uint8_t*>(view.data); };
  look_up_bytes(bytes(c.input(0)), bytes(c.input(1)), static_cast<uint8_t*>(c.output(0).data),
                static_cast<size_t>(c.output(0).size()));
}

std::vector<AxisRelation> axes(const AxesContext& c) {
  std::vector<AxisRelation> relations;
  for (size_t axis = 0; axis < c.input(0).size(); ++axis) {
    if (c.input(0)[axis] > 1) relations.push_back(tie(c.input(0)[axis], {in_axis(0, axis), out_axis(0, axis)}));
  }
  return relations;
}

std::vector<Sample> samples() {
  const std::string reason = "files spell it as the operators that the table stands for";
  return {
      {.name = "unsigned",
       .inputs = {random_input({2, 3, 5, 7}, 0, 255, DType::kUInt8), random_weight({kEntries}, 0, 255, DType::kUInt8)},
       .skip_onnx_runtime = true,
       .reason = reason},
      {.name = "signed_to_unsigned",
       .inputs = {random_input({3, 67}, -128, 127, DType::kInt8), random_weight({kEntries}, 0, 255, DType::kUInt8)},
       .skip_onnx_runtime = true,
       .reason = reason}};
}

}  // namespace

void add_byte_table_op(OpTable& table) {
  table.add({.name = "byte_table",
             .doc = "A function of one byte by a table of its results.",
             .inputs = {{.name = "x"}, {.name = "table", .role = Role::kParameter}},
             .outputs = {{.name = "y"}},
             .infer = infer,
             .run = run,
             .layout = LayoutRule::kFollow,
             .in_place = true,
             .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
             .axes = axes,
             .samples = samples});
}

}  // namespace amct

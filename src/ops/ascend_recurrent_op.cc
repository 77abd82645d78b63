// ascend_lstm and ascend_gru, executed exactly as ops/ascend_recurrent.h says.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "ops/ascend_recurrent.h"
#include "ops/quantize_common.h"

namespace amct {
namespace {

using Ports = AscendRecurrentPorts;

int64_t gates_of(RecurrentCell cell) { return cell == RecurrentCell::kLstm ? 4 : 3; }

void check_attributes(const InferContext& c, RecurrentCell cell) {
  const Node& node = c.node();
  const auto refuse = [&](const char* name, const std::string& value, const char* needed) {
    c.fail(fmt::format("{} is {}; {} is what this operator computes", name, value, needed));
  };
  const int64_t hidden = attr_int(node, "hidden_size");
  if (hidden < 1 || hidden > INT32_MAX) refuse("hidden_size", fmt::to_string(hidden), "1 to 2147483647");
  if (attr_string(node, "direction") != "forward") refuse("direction", attr_string(node, "direction"), "forward");
  if (attr_float(node, "clip") > 0) refuse("clip", fmt::to_string(attr_float(node, "clip")), "-1 (none)");
  const int64_t type = attr_int(node, "quant_dtype");
  if (type != kAscendInt8 && type != kAscendInt16) refuse("quant_dtype", fmt::to_string(type), "2 (INT8) or 6 (INT16)");
  for (const char* name : {"quant_sqrt_mode_x", "quant_sqrt_mode_h"}) {
    if (attr_int(node, name) != 0) refuse(name, "1", "0");
  }
  for (const char* name : {"quant_scale_x", "quant_scale_h"}) check_factor(c, name);
  for (const char* name : {"quant_offset_x", "quant_offset_h"}) {
    check_offset(c, name, type == kAscendInt16 ? DType::kInt16 : DType::kInt8);
  }
  if (cell == RecurrentCell::kLstm && attr_int(node, "input_forget") != 0) refuse("input_forget", "1", "0");
  if (cell == RecurrentCell::kGru && attr_int(node, "linear_before_reset") == 0)
    refuse("linear_before_reset", "0", "1");
}

void expect(const InferContext& c, size_t port, DType dtype, const std::vector<Dim>& dims) {
  if (!c.has(port)) return;
  const std::string& name = c.node().row->inputs[port].name;
  if (c.dtype(port) != DType::kUndefined && c.dtype(port) != dtype) {
    c.fail(fmt::format("input '{}' has type {} where {} is needed", name, name_of(c.dtype(port)), name_of(dtype)));
  }
  const Shape& shape = c.shape(port);
  if (!shape.ranked()) return;
  bool fits = shape.rank() == dims.size();
  for (size_t axis = 0; fits && axis < dims.size(); ++axis) {
    fits = !shape[axis].is_fixed() || !dims[axis].is_fixed() || shape[axis] == dims[axis];
  }
  if (!fits) {
    c.fail(fmt::format("input '{}' has shape {} where {} is needed", name, shape.to_string(), Shape(dims).to_string()));
  }
}

void infer(InferContext& c, RecurrentCell cell) {
  check_attributes(c, cell);
  const Ports& ports = ascend_recurrent_ports(cell);
  const int64_t hidden = attr_int(c.node(), "hidden_size"), rows = gates_of(cell) * hidden;
  const auto axis = [&](size_t port, size_t i) {
    return c.has(port) && c.shape(port).ranked() && i < c.shape(port).rank() ? c.shape(port)[i] : Dim();
  };
  const Dim steps = axis(ports.x, 0);
  const Dim batch = axis(ports.x, 1).is_unknown() ? axis(ports.initial_h, 1) : axis(ports.x, 1);
  const Dim inputs = axis(ports.x, 2).is_fixed() ? axis(ports.x, 2) : axis(ports.w, 2);
  const std::vector<Dim> state{Dim(1), batch, Dim(hidden)};
  expect(c, ports.x, DType::kFloat32, {steps, batch, inputs});
  expect(c, ports.w, DType::kInt8, {Dim(1), Dim(rows), inputs});
  expect(c, ports.r, DType::kInt8, {Dim(1), Dim(rows), Dim(hidden)});
  expect(c, ports.initial_h, DType::kFloat32, state);
  if (ports.initial_c != Ports::kNone) expect(c, ports.initial_c, DType::kFloat32, state);
  expect(c, ports.b, DType::kInt32, {Dim(1), Dim(2 * rows)});
  expect(c, ports.lengths, DType::kInt32, {batch});
  const Dim factors = axis(ports.deq_scale, 0);
  const bool by_gate = factors.is_fixed() && factors.extent() == 2 * gates_of(cell);
  expect(c, ports.deq_scale, DType::kUInt64, {Dim(by_gate ? 2 * gates_of(cell) : 2 * rows)});
  if (c.has(ports.clean_cache)) c.fail("clean_cache, which keeps states from call to call, is not computed here");
  c.set_output(0, DType::kFloat32, Shape({steps, Dim(1), batch, Dim(hidden)}));
  c.set_output(1, DType::kFloat32, Shape(state));
  c.set_output(2, DType::kFloat32, Shape(state));
}

Cost cost(const CostContext& c) {
  const Dims& w = c.input(1);
  return {c.input(0)[0] * c.input(0)[1] * w[1] * (w[2] + c.input(2)[2])};
}

// ---- samples --------------------------------------------------------------------------------------------------------

struct Extents {
  std::string name;
  int64_t steps, batch, inputs, hidden;
  std::vector<int32_t> lengths = {};
  bool wide = false;
  bool computed = false;  // weights
};

Sample sample_of(RecurrentCell cell, const Extents& e) {
  const int64_t rows = gates_of(cell) * e.hidden;
  const Ports& ports = ascend_recurrent_ports(cell);
  const double levels = e.wide ? 32767 : 127;
  Sample sample{.name = e.name,
                .attrs = {{"hidden_size", e.hidden},
                          {"quant_scale_x", levels / 2.5},
                          {"quant_offset_x", e.wide ? -301.0 : -9.0},
                          {"quant_scale_h", levels},
                          {"quant_offset_h", 3.0},
                          {"quant_dtype", e.wide ? kAscendInt16 : kAscendInt8}},
                .outputs = cell == RecurrentCell::kLstm ? size_t{3} : size_t{2},
                .skip_onnx_runtime = true,
                .reason = "ONNX Runtime does not know Ascend's operators"};
  const auto weight = [&](Dims dims, double size, DType dtype) {
    return e.computed ? random_input(std::move(dims), -size, size, dtype)
                      : random_weight(std::move(dims), -size, size, dtype);
  };
  sample.inputs.assign(ports.deq_scale + 1, absent_input());
  sample.inputs[ports.x] = random_input({e.steps, e.batch, e.inputs}, -2, 2);
  sample.inputs[ports.w] = weight({1, rows, e.inputs}, 127, DType::kInt8);
  sample.inputs[ports.r] = weight({1, rows, e.hidden}, 127, DType::kInt8);
  sample.inputs[ports.initial_h] = random_input({1, e.batch, e.hidden});
  if (ports.initial_c != Ports::kNone) sample.inputs[ports.initial_c] = random_input({1, e.batch, e.hidden}, -2, 2);
  sample.inputs[ports.b] = weight({1, 2 * rows}, 5000, DType::kInt32);
  if (!e.lengths.empty()) sample.inputs[ports.lengths] = fixed(Tensor::of<int32_t>({e.batch}, e.lengths));
  std::vector<uint64_t> words;
  for (int64_t row = 0; row < 2 * rows; ++row) {
    const auto factor = static_cast<float>((row < rows ? 2.5 : 1) / levels * (3 + static_cast<double>(row % 7)) / 1e3);
    words.push_back(std::bit_cast<uint32_t>(factor));
  }
  sample.inputs[ports.deq_scale] = fixed(Tensor::of<uint64_t>({2 * rows}, words));
  return sample;
}

std::vector<Sample> samples_of(RecurrentCell cell) {
  return {sample_of(cell, {"one_step", 1, 1, 9, 7}), sample_of(cell, {"steps", 5, 3, 6, 35}),
          sample_of(cell, {"lengths", 4, 3, 5, 11, {4, 0, 2}}),
          sample_of(cell, {.name = "int16", .steps = 3, .batch = 2, .inputs = 7, .hidden = 9, .wide = true}),
          sample_of(cell,
                    {.name = "computed_weights", .steps = 2, .batch = 2, .inputs = 4, .hidden = 5, .computed = true})};
}

OpRow row_of(RecurrentCell cell) {
  const Ports& ports = ascend_recurrent_ports(cell);
  std::vector<InputPort> inputs(ports.deq_scale + 1);
  inputs[ports.x] = {.name = "x"};
  inputs[ports.w] = {.name = "w", .role = Role::kWeight};
  inputs[ports.r] = {.name = "r", .role = Role::kWeight};
  inputs[ports.initial_h] = {.name = "initial_h"};
  if (ports.initial_c != Ports::kNone) inputs[ports.initial_c] = {.name = "initial_c"};
  inputs[ports.b] = {.name = "b", .role = Role::kBias, .optional = true};
  inputs[ports.lengths] = {.name = "sequence_lens", .role = Role::kParameter, .optional = true};
  inputs[ports.clean_cache] = {.name = "clean_cache", .role = Role::kParameter, .optional = true};
  inputs[ports.deq_scale] = {.name = "deq_scale", .role = Role::kParameter};

  OpRow row{
      .inputs = std::move(inputs),
      .outputs = {{.name = "y", .optional = true}, {.name = "y_h", .optional = true}},
      .attrs = {required_attr("hidden_size", AttrType::kInt), string_attr("direction", "forward"),
                float_attr("clip", -1), float_attr("quant_scale_x", 0), float_attr("quant_offset_x", 0),
                float_attr("quant_scale_h", 0), float_attr("quant_offset_h", 0), int_attr("quant_dtype", kAscendInt8),
                int_attr("quant_sqrt_mode_x", 0), int_attr("quant_sqrt_mode_h", 0)},
      .infer = nullptr,
      .quant = QuantRule::keep_float("it belongs to a model that is quantized already"),
      .axes = axes_none,
      .cost = cost};
  return row;
}

}  // namespace

const AscendRecurrentPorts& ascend_recurrent_ports(RecurrentCell cell) {
  static constexpr Ports lstm{.initial_c = 4, .b = 5, .lengths = 6, .clean_cache = 7, .deq_scale = 8};
  static constexpr Ports gru{.b = 4, .lengths = 5, .clean_cache = 6, .deq_scale = 7};
  return cell == RecurrentCell::kLstm ? lstm : gru;
}

void add_ascend_recurrent_op(OpTable& table) {
  OpRow lstm = row_of(RecurrentCell::kLstm);
  lstm.name = "ascend_lstm";
  lstm.doc = "Long short-term memory that quantizes its input and state, with integer weights.";
  lstm.outputs.push_back({.name = "y_c", .optional = true});
  lstm.attrs.push_back(int_attr("input_forget", 0));
  lstm.infer = [](InferContext& c) { infer(c, RecurrentCell::kLstm); };
  lstm.run = [](RunContext& c) { run_ascend_recurrent(c, RecurrentCell::kLstm); };
  lstm.lower = [](const LowerContext& c) { return lower_ascend_recurrent(c, RecurrentCell::kLstm); };
  lstm.spellings = {onnx("BasicLSTMInplaceFillWindowCache")};
  lstm.samples = [] { return samples_of(RecurrentCell::kLstm); };
  table.add(std::move(lstm));
  OpRow gru = row_of(RecurrentCell::kGru);
  gru.name = "ascend_gru";
  gru.doc = "Gated recurrent unit that quantizes its input and state, with integer weights.";
  gru.attrs.push_back(int_attr("linear_before_reset", 1));
  gru.infer = [](InferContext& c) { infer(c, RecurrentCell::kGru); };
  gru.run = [](RunContext& c) { run_ascend_recurrent(c, RecurrentCell::kGru); };
  gru.lower = [](const LowerContext& c) { return lower_ascend_recurrent(c, RecurrentCell::kGru); };
  gru.spellings = {onnx("BasicGRUInplaceFillWindowCache")};
  gru.samples = [] { return samples_of(RecurrentCell::kGru); };
  table.add(std::move(gru));
}

}  // namespace amct

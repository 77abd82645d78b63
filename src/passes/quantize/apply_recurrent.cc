#include "passes/quantize/apply_recurrent.h"

#include <fmt/core.h>

#include "base/error.h"
#include "ops/ascend_recurrent.h"
#include "ops/op_row.h"
#include "ops/recurrent.h"
#include "passes/quantize/integer_constants.h"
#include "passes/quantize/recurrent_weights.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

using namespace recurrent;

constexpr int kRowAxis = 1;

void require_factors(const LayerPlan& layer) {
  const bool complete = layer.weight && layer.hidden && layer.activation.factor && layer.hidden->activation.factor &&
                        !layer.weight->scales.empty() && !layer.hidden->weight.scales.empty();
  if (!complete) throw Error(ErrorCode::kConfig, "the plan has no factors for this layer", {}, "calibrate first");
  if (layer.activation.bits != layer.hidden->activation.bits) {
    throw Error(
        ErrorCode::kConfig,
        fmt::format("its input has {} bits and its state {}", layer.activation.bits, layer.hidden->activation.bits), {},
        "the deploy operator has one type for both");
  }
}

Tensor half_of(const Tensor& bias, bool second) {
  const std::vector<double> values = bias.to_doubles();
  const size_t rows = values.size() / 2;
  std::vector<float> half;
  for (size_t i = 0; i < rows; ++i) half.push_back(static_cast<float>(values[second ? rows + i : i]));
  return Tensor::of<float>({static_cast<int64_t>(rows)}, half);
}

Tensor joined(const Tensor& a, const Tensor& b) {
  std::vector<int32_t> values(a.values<int32_t>().begin(), a.values<int32_t>().end());
  values.insert(values.end(), b.values<int32_t>().begin(), b.values<int32_t>().end());
  return Tensor::of<int32_t>({1, static_cast<int64_t>(values.size())}, values);
}

// One factor a gate for both products, if that is what the plan has; empty otherwise.
std::vector<float> factors_by_gate(const LayerPlan& layer) {
  if (layer.weight->per_channel || layer.hidden->weight.per_channel) return {};
  std::vector<float> factors = dequant_scales(layer.activation.factor->scale, layer.weight->scales);
  const std::vector<float> of_h = dequant_scales(layer.hidden->activation.factor->scale, layer.hidden->weight.scales);
  if (factors.size() != of_h.size()) return {};
  factors.insert(factors.end(), of_h.begin(), of_h.end());
  return factors;
}

}  // namespace

void apply_recurrent_ascend(Graph& graph, NodeId id, const LayerPlan& layer) {
  require_factors(layer);
  const Node node = graph.node(id);
  const RecurrentCell cell = node.op == "lstm" ? RecurrentCell::kLstm : RecurrentCell::kGru;
  const Tensor& w = recurrent_weight(graph, node, kW);
  const Tensor& r = recurrent_weight(graph, node, kR);
  const Tensor& bias = *graph.constant(node.input(kB));
  const ScaleOffset of_x = *layer.activation.factor, of_h = *layer.hidden->activation.factor;
  const WeightPlan rows_w = by_row(*layer.weight, w), rows_r = by_row(layer.hidden->weight, r);
  std::vector<float> factors = dequant_scales(of_x.scale, rows_w.scales);
  const std::vector<float> factors_h = dequant_scales(of_h.scale, rows_r.scales);
  const int64_t rows = w.dims()[kRowAxis];
  Tensor integer_b = joined(integer_bias(half_of(bias, false), factors, rows, layer.name),
                            integer_bias(half_of(bias, true), factors_h, rows, layer.name));
  factors.insert(factors.end(), factors_h.begin(), factors_h.end());
  if (const auto by_gate = factors_by_gate(layer); !by_gate.empty()) factors = by_gate;

  const AscendRecurrentPorts& ports = ascend_recurrent_ports(cell);
  std::vector<ValueId> inputs(ports.deq_scale + 1, kNoValue);
  inputs[ports.x] = node.input(kX);
  inputs[ports.w] = graph.add_constant(layer.name + ".sub_module.weight", integer_weights(w, rows_w, kRowAxis));
  inputs[ports.r] =
      graph.add_constant(layer.name + ".sub_module.recurrence_weight", integer_weights(r, rows_r, kRowAxis));
  inputs[ports.initial_h] = node.input(kInitialH);
  if (cell == RecurrentCell::kLstm) inputs[ports.initial_c] = node.input(kInitialC);
  inputs[ports.b] = graph.add_constant(layer.name + ".sub_module.bias", std::move(integer_b));
  inputs[ports.lengths] = node.input(kLengths);
  inputs[ports.deq_scale] = graph.add_constant(layer.name + ".dequant.param", dequant_parameters(factors));

  Attrs attrs = {{"hidden_size", r.dims()[2]},
                 {"clip", -1.0},
                 {"direction", std::string("forward")},
                 {"quant_scale_x", static_cast<double>(1.0f / of_x.scale)},
                 {"quant_offset_x", static_cast<double>(of_x.offset)},
                 {"quant_sqrt_mode_x", int64_t{0}},
                 {"quant_scale_h", static_cast<double>(1.0f / of_h.scale)},
                 {"quant_offset_h", static_cast<double>(of_h.offset)},
                 {"quant_sqrt_mode_h", int64_t{0}},
                 {"quant_dtype", layer.activation.bits == 16 ? kAscendInt16 : kAscendInt8}};
  attrs.set(cell == RecurrentCell::kLstm ? "input_forget" : "linear_before_reset",
            int64_t{cell == RecurrentCell::kLstm ? 0 : 1});
  const char* op = cell == RecurrentCell::kLstm ? "ascend_lstm" : "ascend_gru";
  graph.set_inputs(id, std::move(inputs));
  graph.set_op(id, op, &op_table().get(op), std::move(attrs));
  erase_unused_constants(graph, node.inputs);
}

void apply_recurrent_qdq(Graph& graph, NodeId id, const LayerPlan& layer) {
  const bool complete =
      layer.weight && layer.hidden && !layer.weight->scales.empty() && !layer.hidden->weight.scales.empty();
  if (!complete) throw Error(ErrorCode::kConfig, "the plan has no factors for this layer", {}, "calibrate first");
  const Node node = graph.node(id);
  const std::tuple<size_t, const WeightPlan*, const char*> weights[] = {
      {kW, &*layer.weight, ".weight"}, {kR, &layer.hidden->weight, ".recurrence_weight"}};
  for (const auto& [port, plan, suffix] : weights) {
    const Tensor& weight = recurrent_weight(graph, node, static_cast<int>(port));
    const WeightPlan rows = by_row(*plan, weight);
    const auto count = static_cast<int64_t>(rows.scales.size());
    const std::string name = layer.name + suffix;
    const ValueId integers = graph.add_constant(name + ".quantized", integer_weights(weight, rows, kRowAxis));
    const ValueId scale = graph.add_constant(name + ".scale", Tensor::of<float>({count}, rows.scales));
    const ValueId zero = graph.add_constant(
        name + ".zero_point", Tensor::of<int8_t>({count}, std::vector<int8_t>(static_cast<size_t>(count))));
    const NodeId dequantize = add_op(graph, name + ".dequantize", "dequantize_linear", {integers, scale, zero},
                                     {{"axis", int64_t{kRowAxis}}});
    graph.set_input(id, port, graph.node(dequantize).output());
    erase_unused_constants(graph, {node.input(port)});
  }
}

}  // namespace amct

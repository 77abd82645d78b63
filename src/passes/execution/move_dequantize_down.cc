#include "passes/execution/move_dequantize_down.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/op_row.h"
#include "passes/execution/qdq_operands.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

bool same_parameters(const Graph& graph, ValueId a, ValueId b) {
  if (a == b) return true;
  return a.valid() && b.valid() && graph.constant(a)->same_bytes(*graph.constant(b));
}

bool same_quantizers(const Graph& graph, const IntegersBehind& a, const IntegersBehind& b) {
  return a.dtype == b.dtype && same_parameters(graph, a.scale, b.scale) && a.zeros == b.zeros;
}

// The operand of one activation, or several with the same quantizer; empty if the node does not merely move values.
std::vector<IntegersBehind> moved_operands(const Graph& graph, const Node& node) {
  std::vector<IntegersBehind> operands;
  if (node.is_opaque()) return operands;
  const QuantRule::Kind kind = node.row->quant.kind();
  if (kind != QuantRule::Kind::kPassThrough && kind != QuantRule::Kind::kSameScaleAll) return operands;
  for (size_t port = 0; port < node.inputs.size(); ++port) {
    if (node.row->input_port(port)->role != Role::kActivation) continue;
    const auto operand = integers_behind(graph, node.input(port));
    const bool moves = operand && operand->per_tensor() && operand->is_8_bit() && !graph.constant(operand->integers);
    if (!moves || (!operands.empty() && !same_quantizers(graph, operands[0], *operand))) return {};
    operands.push_back(*operand);
  }
  return operands;
}

bool has_graph_output(const Graph& graph, const Node& node) {
  return std::any_of(node.outputs.begin(), node.outputs.end(),
                     [&](ValueId id) { return id.valid() && graph.is_output(id); });
}

bool move_behind(Graph& graph, NodeId id) {
  const std::vector<IntegersBehind> operands = moved_operands(graph, graph.node(id));
  if (operands.empty() || has_graph_output(graph, graph.node(id))) return false;
  size_t next = 0;
  for (size_t port = 0; port < graph.node(id).inputs.size(); ++port) {
    if (graph.node(id).row->input_port(port)->role == Role::kActivation) {
      graph.set_input(id, port, operands[next++].integers);
    }
  }
  const size_t moved = is_op(graph.node(id), "max_pool") ? 1 : graph.node(id).outputs.size();  // not its indices
  for (size_t port = 0; port < moved; ++port) {
    const ValueId output = graph.node(id).outputs[port];
    if (!output.valid()) continue;
    const std::string name = graph.value(output).name;
    const NodeId back = add_op(graph, name + ".dequantize", "dequantize_linear",
                               {output, operands[0].scale, operands[0].zero}, {}, name + ".float");
    graph.replace_uses(output, graph.node(back).output());
    graph.set_input(back, 0, output);
    graph.value(output).type.dtype = operands[0].dtype;
  }
  return true;
}

// Quantizes the inputs of a concat of dequantized integers instead of its result.
bool quantize_inputs(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto behind = requantizer_behind(graph, node.output());
  if (!behind || !behind->dropped.empty() || !may_replace(graph, graph.node(behind->node).output(), node.output())) {
    return false;
  }
  for (const ValueId input : node.inputs) {
    const auto operand = integers_behind(graph, input);
    if (!operand || !operand->per_tensor() || !operand->is_8_bit()) return false;
  }
  for (size_t port = 0; port < graph.node(id).inputs.size(); ++port) {
    const ValueId input = graph.node(id).input(port);
    const NodeId quantize = add_op(graph, graph.value(input).name + ".quantize", "quantize_linear",
                                   {input, behind->scale, behind->zero}, graph.node(behind->node).attrs);
    graph.value(graph.node(quantize).output()).type = {behind->dtype, graph.value(input).type.shape};
    graph.set_input(id, port, graph.node(quantize).output());
  }
  graph.value(graph.node(id).output()).type.dtype = behind->dtype;
  return bypass_node(graph, behind->node, graph.node(id).output());
}

// Quantizes what a pool reads, where nobody else reads it, instead of its result.
bool quantize_before(Graph& graph, NodeId id) {
  const Node& pool = graph.node(id);
  const Use* use = graph.sole_use(pool.output());
  if (use == nullptr || use->port != 0 || graph.sole_use(pool.input(0)) == nullptr) return false;
  if (graph.producer(pool.input(0)) == nullptr || !only_first_output_used(graph, pool)) return false;
  const Node& quantizer = graph.node(use->node);
  const bool one_scale = (is_op(quantizer, "ascend_quant") && attr_string(quantizer, "dst_type") == "INT8") ||
                         (is_op(quantizer, "quantize_linear") && requantizer_behind(graph, pool.output()));
  if (!one_scale || graph.is_output(quantizer.output()) || is_quantizer(*graph.producer(pool.input(0)))) return false;
  const NodeId moved = use->node;
  const ValueId before = pool.input(0), pooled = pool.output(), integers = quantizer.output();
  graph.replace_uses(integers, pooled);
  graph.set_input(moved, 0, before);
  graph.set_input(id, 0, integers);
  const TensorType quantized = graph.value(integers).type;
  graph.value(integers).type.shape = graph.value(before).type.shape;
  graph.value(pooled).type = quantized;
  return true;
}

// Removes a quantization that gives back the integers it came from.
bool cancel(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const auto operand = integers_behind(graph, node.input(0));
  if (!operand || !operand->per_tensor() || !operand->is_8_bit()) return false;
  const bool same = same_parameters(graph, operand->scale, node.input(1)) &&
                    same_parameters(graph, operand->zero, node.input(2)) &&
                    graph.value(node.output()).type.dtype == operand->dtype;
  return same && bypass_node(graph, id, operand->integers);
}

}  // namespace

PassReport move_dequantize_down(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id)) continue;
    const std::string name = graph.node(id).name;
    if (is_op(graph.node(id), "quantize_linear")) {
      if (cancel(graph, id)) report.applied(name, "gave back the integers that were dequantized before it");
    } else if (move_behind(graph, id)) {
      report.applied(name, "works on integers");
    } else if (is_op(graph.node(id), "max_pool") && quantize_before(graph, id)) {
      report.applied(name, "works on integers: its input is quantized");
    } else if (is_op(graph.node(id), "concat") && quantize_inputs(graph, id)) {
      report.applied(name, "joins integers: its inputs are quantized");
    }
  }
  if (report.changes > 0) erase_unused_quantizers(graph);
  return report;
}

}  // namespace amct

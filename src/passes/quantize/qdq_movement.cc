#include "passes/quantize/qdq_movement.h"

#include <algorithm>

#include "ops/infer.h"
#include "ops/op_row.h"
#include "passes/quantize/qdq_pairs.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// How many of the node's inputs, from the first, are values that it moves.
size_t moved_inputs(const Node& node) {
  if (node.is_opaque() || is_quantizer(node)) return 0;
  const QuantRule::Kind kind = node.row->quant.kind();
  if (kind == QuantRule::Kind::kPassThrough) return 1;
  return kind == QuantRule::Kind::kSameScaleAll ? node.inputs.size() : 0;
}

// The QuantizeLinear of a value; nullptr if it comes from elsewhere or has several scales.
const Node* quantizer_of(const Graph& graph, ValueId value) {
  const Node* producer = value.valid() ? graph.producer(value) : nullptr;
  if (producer == nullptr || !is_op(*producer, "quantize_linear")) return nullptr;
  return read_qdq_factors(graph, *producer).per_tensor() ? producer : nullptr;
}

bool quantized_alike(const Graph& graph, const Node& node, size_t count) {
  const Node* first = quantizer_of(graph, node.input(0));
  if (first == nullptr) return false;
  const QdqFactors factors = read_qdq_factors(graph, *first);
  for (size_t port = 1; port < count; ++port) {
    const Node* other = quantizer_of(graph, node.input(port));
    if (other == nullptr || read_qdq_factors(graph, *other) != factors) return false;
  }
  return std::ranges::none_of(node.outputs, [&](ValueId output) { return output.valid() && graph.is_output(output); });
}

void erase_unread(Graph& graph, NodeId id) {
  const ValueId output = graph.node(id).output();
  if (!graph.value(output).uses.empty() || graph.is_output(output)) return;
  const std::vector<ValueId> inputs = graph.node(id).inputs;
  graph.erase_node(id);
  for (const ValueId input : inputs) {
    const bool unread = input.valid() && graph.value(input).is_constant() && graph.value(input).uses.empty();
    if (unread && !graph.is_output(input)) graph.erase_value(input);
  }
}

void move_behind(Graph& graph, NodeId id, size_t count) {
  const NodeId quantizer = graph.value(graph.node(id).input(0)).producer;
  const std::vector<ValueId> factors = graph.node(quantizer).inputs;
  const Attrs attrs = graph.node(quantizer).attrs;
  const std::vector<ValueId> outputs = graph.node(id).outputs;
  for (const ValueId output : outputs) {
    if (!output.valid()) continue;
    const std::vector<Use> readers = graph.value(output).uses;
    std::vector<ValueId> inputs = factors;
    inputs[0] = output;
    const std::string name = graph.value(output).name + ".quantize";
    const ValueId integers = graph.node(add_op(graph, name, "quantize_linear", inputs, attrs)).output();
    for (const Use& use : readers) graph.set_input(use.node, use.port, integers);
  }
  for (size_t port = 0; port < count; ++port) {
    const NodeId before = graph.value(graph.node(id).input(port)).producer;
    graph.set_input(id, port, graph.node(before).input(0));
    erase_unread(graph, before);
  }
}

}  // namespace

void move_quantizers_behind_movement(Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const size_t count = moved_inputs(graph.node(id));
    if (count > 0 && quantized_alike(graph, graph.node(id), count)) move_behind(graph, id, count);
  }
  update_types(graph);
}

}  // namespace amct

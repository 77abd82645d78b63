#include "passes/execution/tabulate_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "exec/extract.h"
#include "exec/interpret.h"
#include "ops/op_row.h"
#include "passes/execution/quantized_operand_of.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// What lies between the integers that a function reads and its quantizer.
struct Function {
  ValueId source;  // kNoValue until one is found
  std::unordered_set<NodeId> nodes;
  std::vector<NodeId> order;  // topological
};

bool is_elementwise(const Node& node) {
  return !node.is_opaque() && node.row->axes == axes_elementwise && node.row->layout == LayoutRule::kFollow &&
         node.row->deterministic && node.outputs.size() == 1;
}

bool is_byte(DType dtype) { return dtype == DType::kInt8 || dtype == DType::kUInt8; }

// A constant of one element that leaves the shape of what it meets as it is.
bool is_number(const Graph& graph, ValueId id, const Shape& shape) {
  const Tensor* tensor = graph.constant(id);
  return tensor != nullptr && tensor->size() == 1 &&
         (tensor->rank() == 0 || (shape.ranked() && tensor->rank() <= shape.rank()));
}

bool collect(const Graph& graph, ValueId value, Function& function);

// Integers of 8 bits: those that the function reads, or results of a table of them.
bool collect_integers(const Graph& graph, ValueId integers, Function& function) {
  const Node* node = graph.producer(integers);
  if (node != nullptr && is_op(*node, "byte_table")) {
    const NodeId id = graph.value(integers).producer;
    if (function.nodes.contains(id)) return true;
    if (!collect_integers(graph, node->input(0), function)) return false;
    function.nodes.insert(id);
    function.order.push_back(id);
    return true;
  }
  if (!function.source.valid()) function.source = integers;
  return function.source == integers;
}

// What computes a float value.
bool collect(const Graph& graph, ValueId value, Function& function) {
  const Node* node = graph.producer(value);
  if (node == nullptr || graph.value(value).type.dtype != DType::kFloat32) return false;
  const NodeId id = graph.value(value).producer;
  if (function.nodes.contains(id)) return true;
  if (const auto hidden = hidden_integers(graph, value)) {
    const bool single = hidden->per_tensor() && hidden->is_8_bit() && graph.constant(hidden->integers) == nullptr;
    if (!single || !collect_integers(graph, hidden->integers, function)) return false;
  } else {
    if (!is_elementwise(*node)) return false;
    const Shape& shape = graph.value(value).type.shape;
    const bool reads = std::all_of(node->inputs.begin(), node->inputs.end(), [&](ValueId input) {
      return !input.valid() || is_number(graph, input, shape) || collect(graph, input, function);
    });
    if (!reads) return false;
  }
  function.nodes.insert(id);
  function.order.push_back(id);
  return true;
}

std::optional<Function> function_behind(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Tensor* scale = graph.constant(node.input(1));
  const Tensor* zero = node.input(2).valid() ? graph.constant(node.input(2)) : nullptr;
  const bool known = scale != nullptr && scale->size() == 1 && (zero != nullptr || !node.input(2).valid());
  if (!known || !is_byte(graph.value(node.output()).type.dtype)) return std::nullopt;
  Function function;
  if (!collect(graph, node.input(0), function) || !function.source.valid()) return std::nullopt;
  if (!is_byte(graph.value(function.source).type.dtype)) return std::nullopt;
  function.nodes.insert(id);
  function.order.push_back(id);
  return function;
}

// All bytes in the order of their bits.
Tensor all_bytes(DType type) {
  std::vector<int64_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), 0);
  for (int64_t& byte : bytes) byte -= type == DType::kInt8 && byte > 127 ? 256 : 0;
  return Tensor::of<int64_t>({256}, bytes).cast(type);
}

Tensor table_of(const Graph& graph, const Function& function, ValueId result) {
  const DType type = graph.value(function.source).type.dtype;
  const Extracted part = extract(graph, function.order, {result}, [type](ValueId) { return type; });
  return interpret(*part.graph, {all_bytes(type)}, part.graph->outputs())[0];
}

void erase_unused(Graph& graph, const Function& function) {
  for (auto id = function.order.rbegin(); id != function.order.rend(); ++id) {
    const Node& node = graph.node(*id);
    if (graph.value(node.output()).uses.empty() && !graph.is_output(node.output())) graph.erase_node(*id);
  }
}

}  // namespace

PassReport tabulate_bytes(Graph& graph, const PassContext&) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id) || !is_op(graph.node(id), "quantize_linear")) continue;
    auto function = function_behind(graph, id);
    if (!function) continue;
    const std::string name = graph.node(id).name;
    const size_t replaced = function->order.size();
    const Tensor table = table_of(graph, *function, graph.node(id).output());
    function->order.pop_back();
    const bool same = table.same_bytes(all_bytes(graph.value(function->source).type.dtype));
    if (same && bypass_node(graph, id, function->source)) {
      report.applied(name, "gives back the integers that it was made from");
    } else {
      graph.set_op(id, "byte_table", &op_table().get("byte_table"), {});
      graph.set_inputs(id, {function->source, graph.add_constant(name + ".table", table)});
      report.applied(name, fmt::format("{} operators became a table", replaced));
    }
    erase_unused(graph, *function);
  }
  return report;
}

}  // namespace amct

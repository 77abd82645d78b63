#include "passes/execution/tabulate_bytes.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "exec/extract.h"
#include "exec/interpret.h"
#include "ops/op_row.h"
#include "passes/execution/qdq_operands.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr size_t kMostOperators = 256;  // of a function: each quantizer looks at all of its own

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

// The values that `value`, a float or the result of a table, is computed from besides numbers: what the function goes
// on with. Null if it cannot be part of one.
std::optional<std::vector<ValueId>> operands_of(const Graph& graph, ValueId value) {
  const Node* node = graph.producer(value);
  if (node == nullptr) return std::nullopt;
  if (is_op(*node, "byte_table")) return std::vector{node->input(0)};
  if (const auto operand = integers_behind(graph, value)) {
    const bool single = operand->per_tensor() && operand->is_8_bit() && graph.constant(operand->integers) == nullptr;
    return single ? std::optional(std::vector{operand->integers}) : std::nullopt;
  }
  if (!is_elementwise(*node)) return std::nullopt;
  const Shape& shape = graph.value(value).type.shape;
  std::vector<ValueId> operands;
  for (const ValueId input : node->inputs) {
    if (!input.valid() || is_number(graph, input, shape)) continue;
    if (graph.value(input).type.dtype != DType::kFloat32) return std::nullopt;
    operands.push_back(input);
  }
  return operands;
}

// Collects what computes `result` from one value of 8-bit integers, which may be the result of a table. False if that
// is not all. Goes deep without recursion: a file decides how deep.
bool collect(const Graph& graph, ValueId result, Function& function) {
  struct Frame {
    NodeId node;
    std::vector<ValueId> operands;
  };
  std::vector<Frame> open;
  const auto enter = [&](ValueId value) {
    const Node* node = graph.producer(value);
    if (is_byte(graph.value(value).type.dtype) && (node == nullptr || !is_op(*node, "byte_table"))) {
      if (!function.source.valid()) function.source = value;
      return function.source == value;
    }
    if (node == nullptr) return false;
    if (function.nodes.contains(graph.value(value).producer)) return true;
    auto operands = operands_of(graph, value);
    if (!operands || function.nodes.size() == kMostOperators) return false;
    function.nodes.insert(graph.value(value).producer);
    open.push_back({graph.value(value).producer, std::move(*operands)});
    return true;
  };
  if (graph.value(result).type.dtype != DType::kFloat32 || !enter(result)) return false;
  while (!open.empty()) {
    if (std::vector<ValueId>& operands = open.back().operands; !operands.empty()) {
      const ValueId next = operands.back();
      operands.pop_back();
      if (!enter(next)) return false;
    } else {
      function.order.push_back(open.back().node);
      open.pop_back();
    }
  }
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

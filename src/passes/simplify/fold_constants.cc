#include "passes/simplify/fold_constants.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/checked_math.h"
#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr int64_t kMaxResultBytes = int64_t{1} << 20;
constexpr int64_t kMaxGrowthBytes = int64_t{64} << 20;

bool foldable(const Graph& graph, const Node& node) {
  if (node.is_opaque() || !node.row->deterministic || node.row->run == nullptr || is_quantizer(node)) return false;
  if (node.row->timing == ShapeTiming::kFromBody) return false;  // how long it runs is not known
  for (const ValueId input : node.inputs) {
    if (input.valid() && !graph.value(input).is_constant()) return false;
  }
  return std::none_of(node.outputs.begin(), node.outputs.end(),
                      [&](ValueId id) { return id.valid() && graph.is_output(id); });
}

std::vector<Tensor> inputs_of(const Graph& graph, const Node& node) {
  std::vector<Tensor> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(input.valid() ? graph.value(input).data : Tensor());
  return inputs;
}

// Bytes of all outputs by the shape rule; nullopt where only running tells.
std::optional<int64_t> result_bytes(const Node& node, const std::vector<Tensor>& inputs) {
  std::vector<InferContext::Input> types;
  for (const Tensor& input : inputs) {
    types.push_back({static_cast<bool>(input), input ? input.type() : TensorType{}, input ? &input : nullptr});
  }
  InferContext context(node, std::move(types));
  node.row->infer(context);
  int64_t total = 0;
  for (size_t port = 0; port < node.outputs.size(); ++port) {
    if (!node.outputs[port].valid()) continue;
    const TensorType& type = context.outputs()[port];
    const auto count = type.shape.element_count();
    if (!count || type.dtype == DType::kUndefined) return std::nullopt;
    const auto bytes = checked_mul(*count, static_cast<int64_t>(element_bytes(type.dtype)));
    const auto sum = bytes ? checked_add(total, *bytes) : std::nullopt;
    if (!sum) return std::nullopt;
    total = *sum;
  }
  return total;
}

}  // namespace

PassReport fold_constants(Graph& graph, const PassContext&) {
  PassReport report;
  int64_t growth = 0;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!foldable(graph, node)) continue;
    const std::vector<Tensor> inputs = inputs_of(graph, node);
    int64_t input_bytes = 0;
    for (const Tensor& input : inputs) input_bytes += input ? static_cast<int64_t>(input.byte_size()) : 0;
    const auto bytes = result_bytes(node, inputs);
    // A result whose size depends on the data has at most an index of 8 bytes for each axis of each input element.
    const bool small = bytes ? *bytes <= std::max(kMaxResultBytes, input_bytes) : input_bytes <= kMaxResultBytes / 64;
    const int64_t grows = bytes ? std::max<int64_t>(0, *bytes - input_bytes) : 0;
    if (!small || growth + grows > kMaxGrowthBytes) {
      report.left_alone(node.name, "computes constants, but the result would be too large to keep");
      continue;
    }
    std::vector<Tensor> results = run_node(node, inputs);
    growth += grows;
    const std::string name = node.name;
    const std::string op = node.op;
    const std::vector<ValueId> outputs = node.outputs;
    for (size_t port = 0; port < outputs.size(); ++port) {
      if (outputs[port].valid() && graph.alive(outputs[port])) make_constant(graph, outputs[port], results[port]);
    }
    report.applied(name, fmt::format("computed: {} of constants", op));
  }
  return report;
}

}  // namespace amct

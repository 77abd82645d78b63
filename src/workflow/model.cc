#include "workflow/model.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/memory_limit.h"
#include "frontends/onnx/load_onnx.h"
#include "ops/infer.h"
#include "passes/quantize/attach_quant_offset.h"
#include "workflow/memory_need.h"

namespace amct {

Graph load_model(const std::filesystem::path& path) {
  Graph graph = load_onnx(path);
  try {
    require_memory({.shared = constant_bytes(graph)}, "the model");
  } catch (const Error& error) {
    throw error.with({.model = path.string()});
  }
  attach_quant_offset(graph);
  return graph;
}

bool is_quantized(const Graph& graph) {
  const std::vector<NodeId> nodes = graph.nodes();
  return std::any_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    const Node& node = graph.node(id);
    return node.op == "ascend_quant" || node.op == "quantize_linear" || node.op == "dequantize_linear" ||
           node.name.find(".fakequant.") != std::string::npos || node.name.find(".fakedequant.") != std::string::npos;
  });
}

Graph load_float_model(const std::filesystem::path& path, const std::string& hint) {
  Graph graph = load_model(path);
  if (!is_quantized(graph)) return graph;
  throw Error(ErrorCode::kInput, "the model is quantized already", {.model = path.string()}, hint);
}

PipelineReport prepare(Graph& graph, bool fuse, const PipelineOptions& options) {
  PipelineReport report = run_passes(graph, simplify_passes(), options);
  if (!fuse) return report;
  PipelineReport fused = run_passes(graph, fusion_passes(), options);
  report.passes.insert(report.passes.end(), fused.passes.begin(), fused.passes.end());
  PipelineReport tidied = run_passes(graph, simplify_passes(), options);
  report.passes.insert(report.passes.end(), tidied.passes.begin(), tidied.passes.end());
  report.nodes_after = graph.node_count();
  return report;
}

std::shared_ptr<const Graph> executable(const Graph& graph) {
  auto copy = std::make_shared<Graph>(graph);
  run_passes(*copy, execution_passes());
  return copy;
}

std::map<std::string, std::vector<std::string>> folded_nodes(const PipelineReport& passes) {
  std::map<std::string, std::vector<std::string>> result;
  for (const auto& [name, pass] : passes.passes) {
    for (const PassNote& note : pass.notes) {
      if (!note.folded.empty()) result[note.node].push_back(note.folded);
    }
  }
  return result;
}

PipelineReport lower_for_execution(Graph& graph, const PipelineOptions& options) {
  return run_passes(graph, integer_passes(), options);
}

Batching batching_of(const Graph& graph) {
  Batching result;
  std::vector<int64_t> first;  // of inputs that have axes; 1 where the model leaves it open
  for (const ValueId id : graph.inputs()) {
    const Shape& shape = graph.value(id).type.shape;
    if (shape.rank() > 0) first.push_back(shape[0].is_fixed() ? shape[0].extent() : 1);
  }
  const bool agree = std::adjacent_find(first.begin(), first.end(), std::not_equal_to<>()) == first.end();
  if (agree && !first.empty()) result.rows = static_cast<size_t>(std::max<int64_t>(first[0], 1));
  for (const ValueId id : graph.inputs()) {
    const Shape& shape = graph.value(id).type.shape;
    const bool scalar = shape.ranked() && shape.rank() == 0;
    result.whole.push_back(scalar || (!agree && shape.rank() > 0 && shape[0].is_fixed() && shape[0].extent() != 1));
  }
  return result;
}

std::vector<InputSpec> input_specs(const Graph& graph) {
  const Batching batching = batching_of(graph);
  std::vector<InputSpec> specs;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const Value& input = graph.value(graph.inputs()[i]);
    std::vector<Dim> dims = input.type.shape.dims();
    if (batching.whole[i]) dims.insert(dims.begin(), Dim(1));
    specs.push_back({input.name, input.type.dtype, std::move(dims)});
  }
  return specs;
}

}  // namespace amct

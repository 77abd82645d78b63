#include "workflow/model.h"

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

std::vector<InputSpec> input_specs(const Graph& graph) {
  std::vector<InputSpec> specs;
  for (const ValueId id : graph.inputs()) {
    const Value& input = graph.value(id);
    specs.push_back({input.name, input.type.dtype, input.type.shape.dims()});
  }
  return specs;
}

}  // namespace amct

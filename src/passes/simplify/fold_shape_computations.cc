#include "passes/simplify/fold_shape_computations.h"

#include <algorithm>

#include "ops/infer.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

// By value: computed from a quantizer's result, however far away.
std::vector<bool> behind_quantizers(const Graph& graph) {
  std::vector<bool> behind(graph.value_slots());
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId input) { return input.valid() && behind[input.index]; });
    for (const ValueId output : node.outputs) {
      if (output.valid()) behind[output.index] = any || is_quantizer(node);
    }
  }
  return behind;
}

}  // namespace

PassReport fold_shape_computations(Graph& graph, const PassContext&) {
  PassReport report;
  const InferredTypes known = infer_types(graph);
  const std::vector<bool> quantized = behind_quantizers(graph);
  for (const ValueId id : graph.values()) {
    if (!graph.alive(id) || graph.value(id).kind != ValueKind::kComputed) continue;
    if (id.index >= known.values.size() || !known.values[id.index] || quantized[id.index]) continue;
    if (graph.value(id).uses.empty() || graph.is_output(id)) continue;
    const std::string name = graph.node(graph.value(id).producer).name;
    if (make_constant(graph, id, known.values[id.index]))
      report.applied(name, "computed: it follows from known shapes");
  }
  return report;
}

}  // namespace amct

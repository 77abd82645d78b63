#include "passes/simplify/fold_shape_computations.h"

#include "ops/infer.h"
#include "passes/rewrite.h"

namespace amct {

PassReport fold_shape_computations(Graph& graph, const PassContext&) {
  PassReport report;
  const InferredTypes known = infer_types(graph);
  for (const ValueId id : graph.values()) {
    if (!graph.alive(id) || graph.value(id).kind != ValueKind::kComputed) continue;
    if (id.index >= known.values.size() || !known.values[id.index]) continue;
    if (graph.value(id).uses.empty() || graph.is_output(id)) continue;
    const std::string name = graph.node(graph.value(id).producer).name;
    if (make_constant(graph, id, known.values[id.index]))
      report.applied(name, "computed: it follows from known shapes");
  }
  return report;
}

}  // namespace amct

#include "passes/quantize/data_dependence.h"

#include <algorithm>

#include "ops/control_flow.h"
#include "ops/op_row.h"

namespace amct {
namespace {

constexpr size_t kLoopState = 2;  // inputs before the values that go from turn to turn: trip count, condition

bool depends(const Node& node, size_t port, const std::vector<bool>& by_value) {
  const ValueId input = node.input(port);
  return input.valid() && by_value[input.index];
}

// What a loop collects has an extent for its turns. Their number is known beforehand if the trip count is and the
// condition stays as it is; what goes from turn to turn is not followed, and counts as data. There
// are as many ports as the inference of types asks of a loop.
bool collects_over_data(const Node& node, const std::vector<bool>& by_value) {
  const auto body = subgraph_attr(node, "body");
  const size_t carried = node.inputs.size() - kLoopState - capture_count(node);
  const bool collects =
      std::any_of(node.outputs.begin() + static_cast<ptrdiff_t>(std::min(carried, node.outputs.size())),
                  node.outputs.end(), [](ValueId output) { return output.valid(); });
  if (!collects) return false;
  if (depends(node, 0, by_value) || depends(node, 1, by_value)) return true;
  std::vector<bool> inputs(body->inputs().size(), true);
  inputs[1] = false;
  for (size_t i = kLoopState + carried; i < inputs.size(); ++i) inputs[i] = depends(node, i, by_value);
  return depends_on_data(*body, inputs)[body->outputs()[0].index];
}

}  // namespace

std::vector<bool> depends_on_data(const Graph& graph, const std::vector<bool>& inputs) {
  std::vector<bool> by_value(graph.value_slots(), false);
  for (size_t i = 0; i < inputs.size(); ++i) by_value[graph.inputs()[i].index] = inputs[i];
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!node.is_opaque() && node.row->value_from_types != nullptr) continue;  // Shape, Size
    const bool any = std::ranges::any_of(node.inputs, [&](ValueId v) { return v.valid() && by_value[v.index]; });
    for (const ValueId output : node.outputs) {
      if (output.valid()) by_value[output.index] = any;
    }
  }
  return by_value;
}

std::vector<bool> depends_on_data(const Graph& graph) {
  return depends_on_data(graph, std::vector<bool>(graph.inputs().size(), true));
}

bool shape_depends_on_data(const Node& node, const std::vector<bool>& by_value) {
  if (node.is_opaque()) return false;
  if (node.op == "loop") return collects_over_data(node, by_value);
  if (node.row->timing != ShapeTiming::kFromValues) return node.row->timing == ShapeTiming::kFromData;
  for (size_t port = 0; port < node.inputs.size(); ++port) {
    const InputPort* input = node.row->input_port(port);
    if (input != nullptr && input->role == Role::kShape && depends(node, port, by_value)) return true;
  }
  return false;
}

}  // namespace amct

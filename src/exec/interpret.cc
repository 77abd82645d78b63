#include "exec/interpret.h"

#include "exec/describe.h"
#include "exec/profile.h"
#include "ops/run.h"

namespace amct {

RunHooks executor_hooks(const Graph& graph, const std::vector<bool>& observed, const ObserveFn& observe,
                        Profile* profile, std::function<GraphRunner*(NodeId)> graphs_of) {
  RunHooks hooks;
  hooks.run = [&graph, profile, graphs_of = std::move(graphs_of)](NodeId id, const std::vector<Tensor>& inputs) {
    const Node& node = graph.node(id);
    const auto begin = Profile::Clock::now();
    std::vector<Tensor> results = run_node(node, inputs, graphs_of(id));
    if (profile != nullptr) {
      const size_t step = profile->step_of(node, [&] { return describe_run(graph, node, inputs, results); });
      profile->add(step, begin, Profile::Clock::now());
    }
    return results;
  };
  if (observe) {
    hooks.computed = [&](ValueId id, const Tensor& tensor) {
      if (observed[id.index]) observe(id, tensor.view());
    };
  }
  return hooks;
}

std::vector<Tensor> interpret(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<ValueId>& wanted,
                              const std::vector<ValueId>& observed, const ObserveFn& observe, Profile* profile,
                              GraphRunner* graphs) {
  std::vector<bool> is_observed(graph.value_slots(), false);
  for (const ValueId id : observed) is_observed[id.index] = true;
  for (size_t i = 0; observe && i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    if (is_observed[id.index]) observe(id, inputs[i].view());
  }
  return run_graph(graph, inputs, wanted, observed,
                   executor_hooks(graph, is_observed, observe, profile, [graphs](NodeId) { return graphs; }));
}

}  // namespace amct

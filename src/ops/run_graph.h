// Runs nodes one after the other with the rows' plain kernels, allocating as it goes. All that runs without a program
// comes here: subgraphs outside the executor (constant folding, tests), and within it graphs whose shapes depend on
// data (exec/interpret.h, exec/segments.h), which add their clocks and observers through RunHooks.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct RunHooks {
  // Runs one node on the tensors of its inputs (run_node, if not set).
  std::function<std::vector<Tensor>(NodeId, const std::vector<Tensor>&)> run;
  // Called for each value right after the node that computes it.
  std::function<void(ValueId, const Tensor&)> computed;
};

// The node's inputs, by port; no tensor where one is absent. `tensor_of` gives the tensor of a value.
template <typename F>
std::vector<Tensor> tensors_of_inputs(const Node& node, F&& tensor_of) {
  std::vector<Tensor> tensors;
  for (const ValueId input : node.inputs) tensors.push_back(input.valid() ? tensor_of(input) : Tensor());
  return tensors;
}

// Tensors by value, where the graph's constants and `inputs` (in the order of graph.inputs()) are in place.
std::vector<Tensor> initial_values(const Graph& graph, const std::vector<Tensor>& inputs);

// Runs `nodes`, in this order, on tensors by value: what they read is there, what they compute is put there. With
// `uses`, by value how often it will be read, a tensor goes as soon as nobody reads it any more. Errors name the node.
void run_nodes(const Graph& graph, std::span<const NodeId> nodes, std::vector<Tensor>& values, const RunHooks& hooks,
               std::vector<size_t>* uses = nullptr);

// Values of `wanted`, in order, and of `observed` for the hooks; nodes that neither needs do not run.
std::vector<Tensor> run_graph(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<ValueId>& wanted,
                              const std::vector<ValueId>& observed = {}, const RunHooks& hooks = {});

}  // namespace amct

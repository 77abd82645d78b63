// Runs a graph node by node with the rows' plain kernels, allocating as it goes: for graphs whose shapes depend on
// data, where no program can be compiled, and as the reference that programs are tested against.
#pragma once

#include <functional>
#include <vector>

#include "exec/program.h"
#include "ops/run_graph.h"

namespace amct {

// Values of `wanted`, in order. `inputs` in the order of graph.inputs(). Throws Error(kUnsupported) when a wanted value
// lies behind an opaque node. `observe` is called for the values in `observed`; with a profile, every node's time is
// added to it. `graphs` runs subgraphs (without it, they run with plain kernels).
std::vector<Tensor> interpret(const Graph& graph, const std::vector<Tensor>& inputs, const std::vector<ValueId>& wanted,
                              const std::vector<ValueId>& observed = {}, const ObserveFn& observe = {},
                              Profile* profile = nullptr, GraphRunner* graphs = nullptr);

// Hooks with which `nodes` of the graph run in the same way. `observed` by value; `graphs_of` gives what runs a node's
// subgraphs, null for plain kernels. The hooks refer to the arguments.
RunHooks executor_hooks(const Graph& graph, const std::vector<bool>& observed, const ObserveFn& observe,
                        Profile* profile, std::function<GraphRunner*(NodeId)> graphs_of);

}  // namespace amct

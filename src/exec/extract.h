// A part of a graph as a graph of its own, and which value is which: to compile what comes before and behind nodes
// whose shapes depend on data (segments.h), and to run a piece of arithmetic on made-up inputs (tabulate_bytes).
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct Extracted {
  std::shared_ptr<const Graph> graph;
  std::vector<ValueId> inputs;                     // of the whole graph, in the order of the part's inputs
  std::vector<ValueId> outputs;                    // of the whole graph, in the order of the part's outputs
  std::unordered_map<ValueId, ValueId> to_part;    // values that the part's nodes compute
  std::unordered_map<ValueId, ValueId> from_part;  // and back
};

// `nodes` in topological order, with the names that they have; constants are shared. What they read and do not compute
// becomes an input, of the element type that `dtype_of` tells and of any shape. `outputs` are computed by the nodes.
Extracted extract(const Graph& graph, const std::vector<NodeId>& nodes, const std::vector<ValueId>& outputs,
                  const std::function<DType(ValueId)>& dtype_of);

}  // namespace amct

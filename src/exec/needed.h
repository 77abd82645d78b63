// Which nodes a program must run: those that the wanted values need, as far as they can be computed, in order.
//
// Known before the first step is made, because steps depend on who reads their results: a node takes in the one behind
// it, or writes over its operand, only if nobody else reads that, and uses by nodes that do not run must not count.
#pragma once

#include <vector>

#include "exec/program.h"
#include "ops/infer.h"

namespace amct {

struct Needed {
  std::vector<Reach> reach;         // by value: can it be computed for these extents?
  std::vector<NodeId> order;        // nodes to run, producers first
  std::vector<uint32_t> use_count;  // by value: uses by those nodes
};

// `wanted` values that cannot be reached are left out. A value that is already known is not computed.
Needed find_needed(const Graph& graph, const InferredTypes& types, const std::vector<ValueId>& wanted);

}  // namespace amct

// Which nodes a program must run: those that the wanted values need, as far as they can be computed, in order.
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

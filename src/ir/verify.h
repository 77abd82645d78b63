// The graph's verifier: lists every fault of its structure. Passes must leave graphs in which it finds none.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace amct {

// Checks the links between values and nodes in both directions, uses, producers, names, inputs and outputs, constants
// against their types, and that there is no cycle; subgraphs too. Each fault is one line that names its node or value.
// What operators demand of their nodes is checked by ops/verify_ops.
std::vector<std::string> verify(const Graph& graph);

}  // namespace amct

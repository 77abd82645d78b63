// Which values depend on the numbers in a model's inputs, told from the graph alone. Extents, and what is computed from
// them and from constants, do not: they are known before anything runs. A shape that is made of numbers that do depend
// on data is not known until they are there, whatever the extents of the inputs are.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace amct {

// By value. `inputs` says it of the graph's inputs, in their order.
std::vector<bool> depends_on_data(const Graph& graph, const std::vector<bool>& inputs);
// With all inputs being data.
std::vector<bool> depends_on_data(const Graph& graph);

// True if results of the node have a shape that the data decides: NonZero's, a Slice's whose ends are data, what a Loop
// collects over turns whose number is data. Other ways in which a subgraph may give shapes are not looked into.
bool shape_depends_on_data(const Node& node, const std::vector<bool>& depends);

}  // namespace amct

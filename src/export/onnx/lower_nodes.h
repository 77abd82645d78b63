// Nodes of the graph -> serialized nodes of the file, at a target opset.
#pragma once

#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace amct::onnx_file {

struct LoweredNodes {
  std::vector<std::string> nodes;                         // serialized, producers first
  std::vector<std::pair<std::string, Tensor>> constants;  // that lowering added
  std::unordered_set<std::string> used;                   // names that nodes read, subgraphs included
  std::map<std::string, int64_t> opsets;                  // domain -> version of what was emitted
};

// Throws Error(kUnsupported) naming the node that has no form at `opset`, or whose opaque form is of another opset.
LoweredNodes lower_nodes(const Graph& graph, int64_t opset);

}  // namespace amct::onnx_file

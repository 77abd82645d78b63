// Nodes of the graph -> serialized nodes of the file, at a target opset.
//
// Each node becomes bytes as soon as it is lowered, by way of one message that is used again: a message for each of
// many nodes would cost an allocation for every name and list in them (docs/design/large-models.md, "Many nodes"), and
// the graph around them is put together from bytes anyway (pieces.h).
#pragma once

#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace amct::onnx_file {

struct LoweredNodes {
  std::string nodes;                                      // serialized fields `node` of a GraphProto, producers first
  std::vector<std::pair<std::string, Tensor>> constants;  // that lowering added
  std::vector<bool> used;                                 // by value: nodes read it, or their subgraphs do
  std::map<std::string, int64_t> opsets;                  // domain -> version of what was emitted
};

struct Enclosing;
class ExternalData;

// Names that values of the graph and of the graphs within it have, or that were given meanwhile. Names made anew are in
// no graph of the file, so that nothing shadows anything. The graph must stay as it is meanwhile.
class NameSpace {
 public:
  explicit NameSpace(const Graph& graph);
  // `base`, or the first of base_1, base_2, … that is free; from now on it is not.
  std::string make(const std::string& base);

 private:
  void add_subgraphs(const Graph& graph);
  const Graph& graph_;
  std::unordered_set<std::string> others_;  // names that are not the graph's own
};

// Throws Error(kUnsupported) naming the node that has no form at `opset`, or whose opaque form is of another opset.
// `data`: where constants of subgraphs go that are not small; null: they stay in the nodes. `enclosing`: what is around
// a subgraph (encode_subgraph.h).
LoweredNodes lower_nodes(const Graph& graph, int64_t opset, NameSpace& names, ExternalData* data,
                         const Enclosing* enclosing = nullptr);

}  // namespace amct::onnx_file

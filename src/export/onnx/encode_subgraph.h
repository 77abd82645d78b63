// A subgraph -> GraphProto, the value of an attribute of If, Loop or Scan. Inside, a subgraph is closed and its
// captures are inputs (ops/subgraph.h); in the file they become references to values of the graph around it again, by
// name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "export/onnx/lower_nodes.h"
#include "ir/graph.h"

namespace amct::wire::onnx {
class GraphProto;
}

namespace amct::onnx_file {

struct Enclosing {
  const Graph& graph;
  int64_t opset;
  const std::vector<std::string>& captured;  // names there of the subgraph's last inputs
  const Enclosing* outer = nullptr;          // around that graph

  bool has(std::string_view name) const;
};

// Values whose names are taken around the subgraph get others. `data`: as of lower_nodes. Returns the domains that its
// nodes are of, with versions.
std::map<std::string, int64_t> encode_subgraph(const Graph& graph, const Enclosing& enclosing, NameSpace& names,
                                               ExternalData* data, wire::onnx::GraphProto& out);

}  // namespace amct::onnx_file

// In which order the nodes of a file can be taken, and what they are called.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

namespace amct::wire::onnx {
class GraphProto;
}

namespace amct::onnx_file {

struct NodeOrder {
  std::vector<int> order;                          // indices of nodes: producers first, else as in the file
  std::vector<std::string> names;                  // unique layer key by node index
  std::vector<std::vector<std::string>> captures;  // names that subgraphs read from around the node, by node index
};

// `given` are the names of inputs and constants. Throws Error(kInput) naming the node: a value produced twice, an input
// that nothing produces, a cycle.
NodeOrder order_nodes(const wire::onnx::GraphProto& graph, const std::unordered_set<std::string>& given);

}  // namespace amct::onnx_file

// One node of the file -> one or more nodes of the graph: by the spelling of its operator's row, or opaque.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "frontends/onnx/tensor_decode.h"
#include "ir/graph.h"

namespace amct::wire::onnx {
class NodeProto;
class TensorProto;
}  // namespace amct::wire::onnx

namespace amct::onnx_file {

// The standard domain has two names.
inline std::string normalized_domain(const std::string& domain) { return domain == "ai.onnx" ? std::string() : domain; }

struct SourceNode {
  const wire::onnx::NodeProto* proto = nullptr;
  Bytes bytes;       // serialized, as in the file
  std::string name;  // layer key
  std::vector<ValueId> inputs;
  std::vector<std::string> captures;  // names read by subgraphs, and their values
  std::vector<ValueId> captured;
};

class NodeImporter {
 public:
  NodeImporter(Graph& graph, TensorDecoder& tensors, std::set<std::pair<std::string, std::string>> functions)
      : graph_(graph), tensors_(tensors), functions_(std::move(functions)) {}

  // Afterwards every output of the node is a value of the graph under its foreign name. Throws Error(kInput) naming the
  // node when it is faulty.
  void import(const SourceNode& source);

  // A string initializer, which no tensor can hold: an opaque Constant node.
  void import_string(const wire::onnx::TensorProto& tensor);

 private:
  std::string try_import(const SourceNode& source);  // why not, or ""
  void import_constant(const SourceNode& source);
  void add_opaque(const SourceNode& source, std::string reason);
  void free_output_names(const wire::onnx::NodeProto& proto);
  void check_result(const SourceNode& source, size_t first_node);
  void roll_back(size_t first_node, size_t first_value);

  Graph& graph_;
  TensorDecoder& tensors_;
  std::set<std::pair<std::string, std::string>> functions_;
};

}  // namespace amct::onnx_file

// One node of the file -> one or more nodes of the graph: by the spelling of its operator's row, or opaque.
//
// A node that no row knows, or whose row has no spelling at its version, is no error: it is kept as bytes
// (ops/opaque.h), with the reason, and only what wants to run or rewrite it complains. A faulty node of an operator
// that is known is one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "frontends/onnx/tensor_decode.h"
#include "ir/graph.h"

namespace amct::wire::onnx {
class GraphProto;
class NodeProto;
class TensorProto;
}  // namespace amct::wire::onnx

namespace amct::onnx_file {

// The standard domain has two names.
inline std::string normalized_domain(const std::string& domain) { return domain == "ai.onnx" ? std::string() : domain; }

using Opsets = std::map<std::string, int64_t>;  // domain -> version

struct SourceNode {
  const wire::onnx::NodeProto* proto = nullptr;
  Bytes bytes;       // serialized, as in the file; empty for nodes of functions and subgraphs
  std::string name;  // layer key
  std::vector<ValueId> inputs;
  std::vector<std::string> captures;  // names read by subgraphs, and their values
  std::vector<ValueId> captured;
};

// Imports a graph that stands in an attribute of the node.
using ImportSubgraph =
    std::function<std::shared_ptr<const Graph>(const wire::onnx::GraphProto& subgraph, const SourceNode& node)>;

class NodeImporter {
 public:
  // `scopes`: opset imports by NodeProto.opset_scope - 1; they hold before the graph's.
  NodeImporter(Graph& graph, TensorDecoder& tensors, const std::vector<Opsets>& scopes, ImportSubgraph subgraph)
      : graph_(graph), tensors_(tensors), scopes_(scopes), subgraph_(std::move(subgraph)) {}

  // Afterwards every output of the node is a value of the graph under its foreign name. Throws Error(kInput) naming the
  // node when it is faulty.
  void import(const SourceNode& source);

  // A string initializer, which no tensor can hold: an opaque Constant node.
  void import_string(const wire::onnx::TensorProto& tensor);

 private:
  std::string try_import(const SourceNode& source);  // why not, or ""
  int64_t version_of(const wire::onnx::NodeProto& proto, const std::string& domain) const;
  void import_constant(const SourceNode& source);
  void add_opaque(const SourceNode& source, std::string reason);
  void free_output_names(const wire::onnx::NodeProto& proto);
  void check_result(const SourceNode& source, size_t first_node);
  void roll_back(size_t first_node, size_t first_value);

  Graph& graph_;
  TensorDecoder& tensors_;
  const std::vector<Opsets>& scopes_;
  ImportSubgraph subgraph_;
};

}  // namespace amct::onnx_file

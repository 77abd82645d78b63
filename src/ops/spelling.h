// Spellings: what an operator is called in each framework, and how its foreign form maps to ours and back.
//
// Front ends hand over a neutral ForeignNode; exporters take one back. Rows know spellings but no file format.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace amct {

enum class Framework { kOnnx, kTensorFlow, kCaffe };

struct ForeignNode {
  std::string name;
  std::string domain;  // ONNX: "" is the standard domain
  std::string type;
  int64_t version = 0;               // opset of the domain
  std::vector<ValueId> inputs;       // already in the graph
  std::vector<std::string> outputs;  // foreign names; "" = absent
  Attrs attrs;
  std::vector<ValueId> captures;  // values that its subgraphs read from around it (ops/subgraph.h)
};

// Builds our nodes for a foreign one.
class ImportContext {
 public:
  ImportContext(Graph& graph, const ForeignNode& foreign, const OpRow& row)
      : graph_(graph), foreign_(foreign), row_(row) {}
  Graph& graph() const { return graph_; }
  const ForeignNode& foreign() const { return foreign_; }
  const OpRow& row() const { return row_; }
  int64_t version() const { return foreign_.version; }
  const Attrs& attrs() const { return foreign_.attrs; }
  ValueId input(size_t port) const { return port < foreign_.inputs.size() ? foreign_.inputs[port] : kNoValue; }
  const TensorType& type(size_t port) const;  // of an input; Error(kInput) naming the node if it is absent

  // Adds the row's node under the foreign name with the foreign outputs.
  NodeId add(std::vector<ValueId> inputs, Attrs attrs) const;
  // A 1-d int64 constant, named after the foreign node and `what`: an attribute that became an input.
  ValueId ints_constant(std::string_view what, const std::vector<int64_t>& values) const;
  ValueId constant(std::string_view what, Tensor tensor) const;
  [[noreturn]] void fail(std::string message, std::string hint = {}) const;  // Error(kInput) naming the node
  [[noreturn]] void unsupported(std::string message) const;                  // Error(kUnsupported) naming the node

 private:
  Graph& graph_;
  const ForeignNode& foreign_;
  const OpRow& row_;
};
using ImportFn = void (*)(ImportContext&);

// Turns one of our nodes into foreign nodes. Values are named by their names in the graph.
class ExportContext {
 public:
  struct Emitted {
    std::string name, domain, type;
    std::vector<std::string> inputs, outputs;
    Attrs attrs;
  };
  ExportContext(const Graph& graph, const Node& node, std::string type, std::string domain, int64_t version)
      : graph_(graph), node_(node), type_(std::move(type)), domain_(std::move(domain)), version_(version) {}
  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  int64_t version() const { return version_; }
  std::string value_name(ValueId id) const { return id.valid() ? graph_.value(id).name : std::string(); }
  // The integers of a constant input; nullopt if it is absent. A computed input that the target needs as an attribute
  // is an Error(kUnsupported) naming the node and the opset that allows it.
  std::optional<std::vector<int64_t>> constant_ints(size_t port, int64_t needed_version) const;

  // Emits the node under its own name and type; `inputs` are value names. Of an operator that must have so many
  // outputs, those that nobody wants get names of their own.
  void emit(std::vector<std::string> inputs, Attrs attrs, size_t required_outputs = 0);
  // The same under another foreign type: the last of several nodes that stand for ours.
  void emit_as(std::string type, std::vector<std::string> inputs, Attrs attrs);
  // Emits a helper node and returns the name of its (new) output.
  std::string emit_helper(std::string type, std::vector<std::string> inputs, Attrs attrs, std::string_view suffix);
  std::string helper_constant(Tensor tensor, std::string_view suffix);  // returns the constant's name
  // A constant under a name of its own choice that no value of the graph has. Nodes that share a weight give the same
  // name with the same bytes: it is written once. Returns the name.
  std::string named_constant(Tensor tensor, std::string_view name);
  [[noreturn]] void unsupported(std::string message) const;

  const std::vector<Emitted>& emitted() const { return emitted_; }
  const std::vector<std::pair<std::string, Tensor>>& constants() const { return constants_; }

 private:
  const Graph& graph_;
  const Node& node_;
  std::string type_, domain_;
  int64_t version_;
  std::vector<Emitted> emitted_;
  std::vector<std::pair<std::string, Tensor>> constants_;
};
using ExportFn = void (*)(ExportContext&);

struct Spelling {
  Framework framework = Framework::kOnnx;
  std::string domain;
  std::string type;
  int64_t since = 1;  // versions of the domain at which this spelling holds
  int64_t until = std::numeric_limits<int64_t>::max();
  ImportFn import = nullptr;   // null = the default: same inputs, attributes of the row by name, others refused
  ExportFn export_ = nullptr;  // null = the default: same inputs, attributes that are set
  std::vector<std::string> ignored_attrs = {};  // foreign attributes without meaning ("consumed_inputs")
};

inline constexpr int64_t kAllVersions = std::numeric_limits<int64_t>::max();  // `until` of a spelling that still holds

// A spelling in ONNX's standard domain. The default functions serve where a version means what the newest one does.
Spelling onnx(std::string type, int64_t since = 1, int64_t until = std::numeric_limits<int64_t>::max());
Spelling onnx(std::string type, int64_t since, int64_t until, ImportFn import, ExportFn export_fn);

void import_default(ImportContext& c);
void export_default(ExportContext& c);

}  // namespace amct

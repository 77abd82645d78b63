// The graph: every front end produces it, every pass rewrites it, every exporter reads it.
//
// Values (edges: one producer, many uses) and nodes live in slots that are joined by 32-bit ids. A deleted slot stays
// empty, so ids never move and may be held across rewrites. A graph is an ordinary copyable value; copies share
// weights, so the float original costs nothing beside the compressed one.
//
// Vocabulary: a value is an input, a constant, a variable (an initial value that a training step updates) or computed
// by a node. A use is one input port of one node. A node's name is its layer key: unique, fixed at import, and what
// configurations, records, plans and reports call it.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/attrs.h"
#include "ir/name_table.h"
#include "ir/shape.h"
#include "ir/slots.h"
#include "ir/tensor.h"

namespace amct {

struct OpRow;  // the operator's row (ops/op_row.h); the graph only carries the pointer

struct NodeId {
  uint32_t index = std::numeric_limits<uint32_t>::max();
  bool valid() const { return index != std::numeric_limits<uint32_t>::max(); }
  auto operator<=>(const NodeId&) const = default;
};

struct ValueId {
  uint32_t index = std::numeric_limits<uint32_t>::max();
  bool valid() const { return index != std::numeric_limits<uint32_t>::max(); }
  auto operator<=>(const ValueId&) const = default;
};

inline constexpr NodeId kNoNode{};
inline constexpr ValueId kNoValue{};  // an optional input or output that is not connected

struct Use {
  NodeId node;
  uint32_t port = 0;
  auto operator<=>(const Use&) const = default;
};

enum class ValueKind { kInput, kConstant, kVariable, kComputed };

// Where a node or value came from; survives every rewrite.
struct Origin {
  std::string name;  // the foreign name ("" for a nameless ONNX node, "node:k" of TensorFlow)
  std::string op;    // the foreign operator type
  bool operator==(const Origin&) const = default;
};

struct Value {
  std::string name;  // for people and files; unique in the graph
  ValueKind kind = ValueKind::kComputed;
  TensorType type;
  Tensor data;      // of a constant; the initial value of a variable
  NodeId producer;  // of a computed value
  uint32_t output_port = 0;
  std::vector<Use> uses;  // in no order; kept by Graph; graph outputs are not uses (see Graph::is_output)
  Origin origin;

  bool is_constant() const { return kind == ValueKind::kConstant; }
};

struct Node {
  std::string name;            // layer key, unique in the graph
  std::string op;              // the row's name; "domain::Type" for an opaque node
  const OpRow* row = nullptr;  // null = opaque: kept with its bytes, written back unchanged, never run
  Attrs attrs;
  std::vector<ValueId> inputs;   // kNoValue where an optional input is absent
  std::vector<ValueId> outputs;  // kNoValue where an optional output is not wanted
  Origin origin;

  bool is_opaque() const { return row == nullptr; }
  ValueId input(size_t port) const { return port < inputs.size() ? inputs[port] : kNoValue; }
  ValueId output(size_t port = 0) const { return port < outputs.size() ? outputs[port] : kNoValue; }
};

// What a file says about itself beyond its nodes; carried through and written back.
struct ModelInfo {
  std::string path;                       // file that was read, for messages
  std::string format;                     // "onnx", "tensorflow", …
  std::map<std::string, int64_t> opsets;  // domain -> version ("" = the standard domain of ONNX)
  int64_t ir_version = 0;
  std::string producer_name, producer_version, domain, doc;
  int64_t model_version = 0;
  std::string graph_name;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> opaque_sections;  // serialized parts that are written back as they are (functions)
};

class Graph {
 public:
  ModelInfo info;

  Graph();
  Graph(const Graph&);
  Graph(Graph&&) noexcept;
  Graph& operator=(const Graph&);
  Graph& operator=(Graph&&) noexcept;
  ~Graph();

  // --- build ---------------------------------------------------------------------------------------------------------
  // Names are made unique: a taken name gets the suffix "_1", "_2", …
  ValueId add_input(std::string_view name, TensorType type);
  ValueId add_constant(std::string_view name, Tensor data);
  ValueId add_variable(std::string_view name, Tensor initial);
  // Adds a node with `output_names.size()` computed values of unknown type; an empty output name is an absent output
  // if it is not the first (the first then takes the node's name).
  NodeId add_node(std::string_view name, std::string_view op, const OpRow* row, std::vector<ValueId> inputs,
                  const std::vector<std::string>& output_names, Attrs attrs = {}, Origin origin = {});
  void set_outputs(std::vector<ValueId> outputs);

  // --- read ----------------------------------------------------------------------------------------------------------
  // References stay valid until the node or value is erased. Change inputs, outputs, uses, producers and names through
  // the methods below only.
  const Node& node(NodeId id) const {
    AMCT_CHECK(alive(id), "access to a deleted node");
    return nodes_[id.index];
  }
  Node& node(NodeId id) {
    AMCT_CHECK(alive(id), "access to a deleted node");
    return nodes_[id.index];
  }
  const Value& value(ValueId id) const {
    AMCT_CHECK(alive(id), "access to a deleted value");
    return values_[id.index];
  }
  Value& value(ValueId id) {
    AMCT_CHECK(alive(id), "access to a deleted value");
    return values_[id.index];
  }
  bool alive(NodeId id) const { return id.index < nodes_.size() && nodes_[id.index].alive; }
  bool alive(ValueId id) const { return id.index < values_.size() && values_[id.index].alive; }

  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  bool is_output(ValueId id) const { return alive(id) && values_[id.index].is_output; }
  size_t node_count() const { return live_nodes_; }
  // One past the largest index ever used: for tables indexed by id.
  size_t node_slots() const { return nodes_.size(); }
  size_t value_slots() const { return values_.size(); }
  std::vector<NodeId> nodes() const;    // live nodes in order of creation
  std::vector<ValueId> values() const;  // live values in order of creation
  // Producers before consumers; among free choices the order of creation. Throws Error(kInput) naming a node on a
  // cycle.
  std::vector<NodeId> topological_order() const;
  NodeId find_node(std::string_view name) const;    // kNoNode if there is none
  ValueId find_value(std::string_view name) const;  // kNoValue if there is none

  // The one node and port that uses the value, if exactly one does and the value is not a graph output.
  const Use* sole_use(ValueId id) const;
  // The node that computes the value, or null for inputs, constants and variables.
  const Node* producer(ValueId id) const;
  // The tensor of a constant, or null.
  const Tensor* constant(ValueId id) const;

  // --- rewrite -------------------------------------------------------------------------------------------------------
  void set_input(NodeId node, size_t port, ValueId value);  // grows the input list with absent inputs if needed
  void set_inputs(NodeId node, std::vector<ValueId> inputs);
  // Points every use of `from`, graph outputs included, at `to`. A graph output keeps its name: `to` takes over the
  // name of `from` if `from` was an output and `to` is computed and not itself an output.
  void replace_uses(ValueId from, ValueId to);
  void replace_constant(ValueId id, Tensor data);
  // Gives the node another operator, keeping its name, inputs and outputs.
  void set_op(NodeId node, std::string_view op, const OpRow* row, Attrs attrs);
  // Removes a node whose outputs are unused (checked) together with those outputs; constants left unused go too.
  void erase_node(NodeId id);
  void erase_value(ValueId id);  // an input, constant or variable without uses
  void rename_value(ValueId id, std::string_view name);
  void rename_node(NodeId id, std::string_view name);
  std::string fresh_value_name(std::string_view base) const;
  std::string fresh_node_name(std::string_view base) const;

 private:
  struct NodeSlot : Node {
    bool alive = true;
    std::vector<uint32_t> use_at;  // by port: where its use stands in the value's list
  };
  struct ValueSlot : Value {
    bool alive = true;
    bool is_output = false;
  };

  ValueId add_value(std::string_view name, ValueKind kind);
  void add_use(ValueId value, Use use);
  void remove_use(ValueId value, Use use);
  std::string_view node_name(uint32_t index) const { return nodes_[index].name; }
  std::string_view value_name(uint32_t index) const { return values_[index].name; }

  Slots<NodeSlot> nodes_;
  Slots<ValueSlot> values_;
  std::vector<uint32_t> producers_;  // by value: node that computes it, kept apart because orders look at all of them
  std::vector<ValueId> inputs_;
  std::vector<ValueId> outputs_;
  NameTable node_names_;
  NameTable value_names_;
  mutable std::unordered_map<std::string, uint64_t> next_suffix_;
  size_t live_nodes_ = 0;
};

}  // namespace amct

template <>
struct std::hash<amct::ValueId> {
  size_t operator()(amct::ValueId id) const noexcept { return id.index; }
};
template <>
struct std::hash<amct::NodeId> {
  size_t operator()(amct::NodeId id) const noexcept { return id.index; }
};

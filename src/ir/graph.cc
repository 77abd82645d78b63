#include "ir/graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <queue>

namespace amct {
namespace {

constexpr uint32_t kNoProducer = std::numeric_limits<uint32_t>::max();

// `base` if free, else base_1, base_2, …; `next` remembers where to go on, so that many equal names cost linear time.
template <typename IsTaken>
std::string unique_name(std::string_view base, const IsTaken& is_taken,
                        std::unordered_map<std::string, uint64_t>& next) {
  if (!is_taken(base)) return std::string(base);
  uint64_t& suffix = next[std::string(base)];
  std::string name;
  do {
    name = fmt::format("{}_{}", base, ++suffix);
  } while (is_taken(name));
  return name;
}

}  // namespace

Graph::Graph() = default;
Graph::Graph(const Graph&) = default;
Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(const Graph&) = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

ValueId Graph::add_value(std::string_view name, ValueKind kind) {
  const ValueId id{static_cast<uint32_t>(values_.size())};
  std::string unique = fresh_value_name(name);
  value_names_.insert(unique, id.index);
  producers_.push_back(kNoProducer);
  ValueSlot& value = values_.add();
  value.name = std::move(unique);
  value.kind = kind;
  return id;
}

ValueId Graph::add_input(std::string_view name, TensorType type) {
  const ValueId id = add_value(name, ValueKind::kInput);
  value(id).type = std::move(type);
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string_view name, Tensor data) {
  const ValueId id = add_value(name, ValueKind::kConstant);
  value(id).type = data.type();
  value(id).data = std::move(data);
  return id;
}

ValueId Graph::add_variable(std::string_view name, Tensor initial) {
  const ValueId id = add_constant(name, std::move(initial));
  value(id).kind = ValueKind::kVariable;
  return id;
}

NodeId Graph::add_node(std::string_view name, std::string_view op, const OpRow* row, std::vector<ValueId> inputs,
                       const std::vector<std::string>& output_names, Attrs attrs, Origin origin) {
  const NodeId id{static_cast<uint32_t>(nodes_.size())};
  std::string unique = fresh_node_name(name);
  node_names_.insert(unique, id.index);
  NodeSlot& node = nodes_.add();
  node.name = std::move(unique);
  node.op = op;
  node.row = row;
  node.attrs = std::move(attrs);
  node.origin = std::move(origin);
  ++live_nodes_;
  node.outputs.assign(output_names.size(), kNoValue);
  const auto connect = [&](size_t port, std::string_view output_name) {
    const ValueId output = add_value(output_name, ValueKind::kComputed);
    producers_[output.index] = id.index;
    value(output).producer = id;
    value(output).output_port = static_cast<uint32_t>(port);
    node.outputs[port] = output;
  };
  for (size_t port = 0; port < output_names.size(); ++port) {
    if (!output_names[port].empty()) connect(port, output_names[port]);
  }
  // Last, so that the invented name gives way to those that are given.
  if (!output_names.empty() && output_names[0].empty()) connect(0, node.name);
  set_inputs(id, std::move(inputs));
  return id;
}

void Graph::set_outputs(std::vector<ValueId> outputs) {
  for (const ValueId id : outputs_) {
    if (alive(id)) values_[id.index].is_output = false;
  }
  outputs_ = std::move(outputs);
  for (const ValueId id : outputs_) {
    if (alive(id)) values_[id.index].is_output = true;
  }
}

std::vector<NodeId> Graph::nodes() const {
  std::vector<NodeId> ids;
  ids.reserve(live_nodes_);
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].alive) ids.push_back(NodeId{i});
  }
  return ids;
}

std::vector<ValueId> Graph::values() const {
  std::vector<ValueId> ids;
  for (uint32_t i = 0; i < values_.size(); ++i) {
    if (values_[i].alive) ids.push_back(ValueId{i});
  }
  return ids;
}

std::vector<NodeId> Graph::topological_order() const {
  const std::vector<NodeId> all = nodes();
  const auto is_computed = [&](ValueId id) { return id.valid() && producers_[id.index] != kNoProducer; };
  const auto comes_later = [&](NodeId id, ValueId input) {
    return is_computed(input) && producers_[input.index] >= id.index;
  };
  const bool in_order = std::all_of(all.begin(), all.end(), [&](NodeId id) {  // as files and passes mostly leave it
    const std::vector<ValueId>& inputs = nodes_[id.index].inputs;
    return std::none_of(inputs.begin(), inputs.end(), [&](ValueId input) { return comes_later(id, input); });
  });
  if (in_order) return all;
  std::vector<uint32_t> waiting(nodes_.size(), 0);
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<>> ready;
  for (const NodeId id : all) {
    for (const ValueId input : nodes_[id.index].inputs) {
      if (is_computed(input)) ++waiting[id.index];
    }
    if (waiting[id.index] == 0) ready.push(id);
  }
  std::vector<NodeId> order;
  order.reserve(all.size());
  while (!ready.empty()) {
    const NodeId id = ready.top();
    ready.pop();
    order.push_back(id);
    for (const ValueId output : nodes_[id.index].outputs) {
      if (!output.valid()) continue;
      for (const Use& use : values_[output.index].uses) {
        if (--waiting[use.node.index] == 0) ready.push(use.node);
      }
    }
  }
  if (order.size() != all.size()) {
    for (const NodeId id : all) {
      if (waiting[id.index] > 0) {
        throw Error(ErrorCode::kInput, "the graph has a cycle", {.model = info.path, .node = node(id).name},
                    "the model is damaged; export it again");
      }
    }
  }
  return order;
}

NodeId Graph::find_node(std::string_view name) const {
  return NodeId{node_names_.find(name, [this](uint32_t index) { return node_name(index); })};
}

ValueId Graph::find_value(std::string_view name) const {
  return ValueId{value_names_.find(name, [this](uint32_t index) { return value_name(index); })};
}

const Use* Graph::sole_use(ValueId id) const {
  const Value& v = value(id);
  return v.uses.size() == 1 && !is_output(id) ? &v.uses.front() : nullptr;
}

const Node* Graph::producer(ValueId id) const {
  if (!id.valid()) return nullptr;
  const Value& v = value(id);
  return v.producer.valid() ? &node(v.producer) : nullptr;
}

const Tensor* Graph::constant(ValueId id) const {
  if (!id.valid()) return nullptr;
  const Value& v = value(id);
  return v.is_constant() ? &v.data : nullptr;
}

void Graph::add_use(ValueId id, Use use) {
  if (!id.valid()) return;
  auto& uses = value(id).uses;
  nodes_[use.node.index].use_at[use.port] = static_cast<uint32_t>(uses.size());
  uses.push_back(use);
}

// The last use takes the place of the one that goes, so that a constant with many uses costs no search.
void Graph::remove_use(ValueId id, Use use) {
  if (!id.valid()) return;
  auto& uses = value(id).uses;
  const uint32_t at = nodes_[use.node.index].use_at[use.port];
  AMCT_CHECK(at < uses.size() && uses[at] == use, "a use is missing from its value");
  uses[at] = uses.back();
  nodes_[uses[at].node.index].use_at[uses[at].port] = at;
  uses.pop_back();
}

void Graph::set_input(NodeId id, size_t port, ValueId input) {
  Node& n = node(id);
  if (n.inputs.size() <= port) {
    n.inputs.resize(port + 1, kNoValue);
    nodes_[id.index].use_at.resize(port + 1);
  }
  const Use use{id, static_cast<uint32_t>(port)};
  remove_use(n.inputs[port], use);
  n.inputs[port] = input;
  add_use(input, use);
}

void Graph::set_inputs(NodeId id, std::vector<ValueId> inputs) {
  Node& n = node(id);
  for (size_t port = n.inputs.size(); port-- > 0;) remove_use(n.inputs[port], {id, static_cast<uint32_t>(port)});
  n.inputs = std::move(inputs);
  nodes_[id.index].use_at.resize(n.inputs.size());
  for (size_t port = 0; port < n.inputs.size(); ++port) add_use(n.inputs[port], {id, static_cast<uint32_t>(port)});
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  const std::vector<Use> uses = value(from).uses;
  for (const Use& use : uses) set_input(use.node, use.port, to);
  if (!is_output(from)) return;
  const bool take_name = value(to).kind == ValueKind::kComputed && !is_output(to);
  std::vector<ValueId> outputs = outputs_;
  std::replace(outputs.begin(), outputs.end(), from, to);
  set_outputs(std::move(outputs));
  if (take_name) {
    const std::string name = value(from).name;
    rename_value(from, fresh_value_name(name));
    rename_value(to, name);
  }
}

void Graph::replace_constant(ValueId id, Tensor data) {
  Value& v = value(id);
  AMCT_CHECK(v.kind == ValueKind::kConstant || v.kind == ValueKind::kVariable, "only a constant has data to replace");
  v.type = data.type();
  v.data = std::move(data);
}

void Graph::set_op(NodeId id, std::string_view op, const OpRow* row, Attrs attrs) {
  Node& n = node(id);
  n.op = op;
  n.row = row;
  n.attrs = std::move(attrs);
}

void Graph::erase_node(NodeId id) {
  Node& n = node(id);
  for (const ValueId output : n.outputs) {
    if (!output.valid()) continue;
    AMCT_CHECK(value(output).uses.empty() && !is_output(output), "a node whose output is in use cannot be erased");
    value_names_.erase(value(output).name, output.index);
    values_[output.index] = ValueSlot{};
    values_[output.index].alive = false;
    producers_[output.index] = kNoProducer;
  }
  const std::vector<ValueId> inputs = n.inputs;
  set_inputs(id, {});
  for (const ValueId input : inputs) {
    if (input.valid() && alive(input) && value(input).is_constant() && value(input).uses.empty() && !is_output(input)) {
      erase_value(input);
    }
  }
  node_names_.erase(n.name, id.index);
  nodes_[id.index] = NodeSlot{};
  nodes_[id.index].alive = false;
  --live_nodes_;
}

void Graph::erase_value(ValueId id) {
  AMCT_CHECK(value(id).uses.empty() && !is_output(id), "a value in use cannot be erased");
  AMCT_CHECK(value(id).kind != ValueKind::kComputed, "a computed value goes with its node");
  if (value(id).kind == ValueKind::kInput) std::erase(inputs_, id);
  value_names_.erase(value(id).name, id.index);
  values_[id.index] = ValueSlot{};
  values_[id.index].alive = false;
}

void Graph::rename_value(ValueId id, std::string_view name) {
  value_names_.erase(value(id).name, id.index);
  std::string unique = fresh_value_name(name);
  value_names_.insert(unique, id.index);
  value(id).name = std::move(unique);
}

void Graph::rename_node(NodeId id, std::string_view name) {
  node_names_.erase(node(id).name, id.index);
  std::string unique = fresh_node_name(name);
  node_names_.insert(unique, id.index);
  node(id).name = std::move(unique);
}

std::string Graph::fresh_value_name(std::string_view base) const {
  return unique_name(
      base, [this](std::string_view name) { return find_value(name).valid(); }, next_suffix_);
}

std::string Graph::fresh_node_name(std::string_view base) const {
  return unique_name(
      base, [this](std::string_view name) { return find_node(name).valid(); }, next_suffix_);
}

}  // namespace amct

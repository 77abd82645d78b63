#include "ir/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

namespace amct {
namespace {

// `base` if free, else base_1, base_2, …; `next` remembers where to go on, so that many equal names cost linear time.
template <typename Taken>
std::string unique_name(std::string_view base, const Taken& taken, std::unordered_map<std::string, uint64_t>& next) {
  if (!taken.contains(base)) return std::string(base);
  uint64_t& suffix = next[std::string(base)];
  std::string name;
  do {
    name = fmt::format("{}_{}", base, ++suffix);
  } while (taken.contains(name));
  return name;
}

}  // namespace

ValueId Graph::add_value(std::string_view name, ValueKind kind) {
  const ValueId id{static_cast<uint32_t>(values_.size())};
  ValueSlot& value = values_.emplace_back();
  value.name = fresh_value_name(name);
  value.kind = kind;
  value_names_.emplace(value.name, id);
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
  NodeSlot& node = nodes_.emplace_back();
  node.name = fresh_node_name(name);
  node.op = op;
  node.row = row;
  node.attrs = std::move(attrs);
  node.origin = std::move(origin);
  node_names_.emplace(node.name, id);
  ++live_nodes_;
  node.outputs.assign(output_names.size(), kNoValue);
  const auto connect = [&](size_t port, std::string_view output_name) {
    const ValueId output = add_value(output_name, ValueKind::kComputed);
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

void Graph::set_outputs(std::vector<ValueId> outputs) { outputs_ = std::move(outputs); }

const Node& Graph::node(NodeId id) const {
  AMCT_CHECK(alive(id), "access to a deleted node");
  return nodes_[id.index];
}
Node& Graph::node(NodeId id) {
  AMCT_CHECK(alive(id), "access to a deleted node");
  return nodes_[id.index];
}
const Value& Graph::value(ValueId id) const {
  AMCT_CHECK(alive(id), "access to a deleted value");
  return values_[id.index];
}
Value& Graph::value(ValueId id) {
  AMCT_CHECK(alive(id), "access to a deleted value");
  return values_[id.index];
}

bool Graph::is_output(ValueId id) const { return std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end(); }

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
  const auto comes_later = [&](NodeId id, ValueId input) {
    return input.valid() && values_[input.index].kind == ValueKind::kComputed && values_[input.index].producer >= id;
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
      if (input.valid() && values_[input.index].kind == ValueKind::kComputed) ++waiting[id.index];
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
  const auto at = node_names_.find(name);
  return at == node_names_.end() ? kNoNode : at->second;
}

ValueId Graph::find_value(std::string_view name) const {
  const auto at = value_names_.find(name);
  return at == value_names_.end() ? kNoValue : at->second;
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
  if (id.valid()) value(id).uses.push_back(use);
}

void Graph::remove_use(ValueId id, Use use) {
  if (!id.valid()) return;
  auto& uses = value(id).uses;
  const auto at = std::find(uses.begin(), uses.end(), use);
  AMCT_CHECK(at != uses.end(), "a use is missing from its value");
  uses.erase(at);
}

void Graph::set_input(NodeId id, size_t port, ValueId input) {
  Node& n = node(id);
  if (n.inputs.size() <= port) n.inputs.resize(port + 1, kNoValue);
  const Use use{id, static_cast<uint32_t>(port)};
  remove_use(n.inputs[port], use);
  n.inputs[port] = input;
  add_use(input, use);
}

void Graph::set_inputs(NodeId id, std::vector<ValueId> inputs) {
  Node& n = node(id);
  for (size_t port = 0; port < n.inputs.size(); ++port) remove_use(n.inputs[port], {id, static_cast<uint32_t>(port)});
  n.inputs = std::move(inputs);
  for (size_t port = 0; port < n.inputs.size(); ++port) add_use(n.inputs[port], {id, static_cast<uint32_t>(port)});
}

void Graph::replace_uses(ValueId from, ValueId to) {
  if (from == to) return;
  const std::vector<Use> uses = value(from).uses;
  for (const Use& use : uses) set_input(use.node, use.port, to);
  if (!is_output(from)) return;
  const bool take_name = value(to).kind == ValueKind::kComputed && !is_output(to);
  std::replace(outputs_.begin(), outputs_.end(), from, to);
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
    value_names_.erase(value(output).name);
    values_[output.index] = ValueSlot{};
    values_[output.index].alive = false;
  }
  const std::vector<ValueId> inputs = n.inputs;
  set_inputs(id, {});
  for (const ValueId input : inputs) {
    if (input.valid() && alive(input) && value(input).is_constant() && value(input).uses.empty() && !is_output(input)) {
      erase_value(input);
    }
  }
  node_names_.erase(n.name);
  nodes_[id.index] = NodeSlot{};
  nodes_[id.index].alive = false;
  --live_nodes_;
}

void Graph::erase_value(ValueId id) {
  AMCT_CHECK(value(id).uses.empty() && !is_output(id), "a value in use cannot be erased");
  AMCT_CHECK(value(id).kind != ValueKind::kComputed, "a computed value goes with its node");
  std::erase(inputs_, id);
  value_names_.erase(value(id).name);
  values_[id.index] = ValueSlot{};
  values_[id.index].alive = false;
}

void Graph::rename_value(ValueId id, std::string_view name) {
  value_names_.erase(value(id).name);
  value(id).name = fresh_value_name(name);
  value_names_.emplace(value(id).name, id);
}

void Graph::rename_node(NodeId id, std::string_view name) {
  node_names_.erase(node(id).name);
  node(id).name = fresh_node_name(name);
  node_names_.emplace(node(id).name, id);
}

std::string Graph::fresh_value_name(std::string_view base) const {
  return unique_name(base, value_names_, next_suffix_);
}

std::string Graph::fresh_node_name(std::string_view base) const { return unique_name(base, node_names_, next_suffix_); }

}  // namespace amct

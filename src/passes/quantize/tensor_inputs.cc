#include "passes/quantize/tensor_inputs.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ops/op_row.h"
#include "passes/quantize/plan_layers.h"
#include "passes/quantize/program_ends.h"

namespace amct {
namespace {

constexpr std::string_view kQuantizable[] = {"add", "sum", "concat", "max_pool"};
constexpr std::string_view kJoining[] = {"add", "sum", "concat"};

bool is_one_of(const Node& node, std::span<const std::string_view> ops) {
  return !node.is_opaque() && std::ranges::find(ops, node.op) != ops.end();
}

bool is_computed_float(const Graph& graph, ValueId id) {
  if (!id.valid()) return false;
  const Value& value = graph.value(id);
  const bool computed = value.kind == ValueKind::kInput || value.kind == ValueKind::kComputed;
  return computed && value.type.dtype == DType::kFloat32;
}

bool moves_only(const Graph& graph, const Node& node) {
  if (node.is_opaque() || !node.input(0).valid()) return false;
  return node.row->quant.kind() == QuantRule::Kind::kPassThrough || is_zero_pad(graph, node);
}

// Values in disjoint sets.
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), size_t{0}); }
  size_t find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(ValueId a, ValueId b) {
    const size_t i = find(a.index), j = find(b.index);
    parent_[std::max(i, j)] = std::min(i, j);
  }

 private:
  std::vector<size_t> parent_;
};

class Joiner {
 public:
  Joiner(const Graph& graph, Plan& plan) : graph_(graph), plan_(plan), groups_(graph.value_slots()), ends_(graph) {}

  void run() {
    const std::vector<NodeId> joins = joining_nodes();
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      if (moves_only(graph_, node) && is_computed_float(graph_, node.input(0))) {
        groups_.join(node.input(0), node.output());
      }
    }
    std::set<size_t> wanted;
    for (const NodeId id : joins) {
      const Node& node = graph_.node(id);
      for (const ValueId input : node.inputs) groups_.join(input, node.input(0));
      if (node.op == "concat") groups_.join(node.output(), node.input(0));
    }
    for (const NodeId id : joins) wanted.insert(groups_.find(graph_.node(id).input(0).index));
    const auto settings = settings_by_group(wanted);
    InputPlanner planner(graph_, plan_);
    for (const NodeId id : joins) {
      const Node& node = graph_.node(id);
      const ActivationPlan& own = settings.at(groups_.find(node.input(0).index));
      for (size_t port = 0; port < node.inputs.size(); ++port) {
        planner.add(id, static_cast<int64_t>(port), own);
      }
    }
    std::map<size_t, std::vector<std::string>> names;
    for (const ValueId id : graph_.values()) {
      const size_t group = groups_.find(id.index);
      if (wanted.contains(group)) names[group].push_back(graph_.value(id).name);
    }
    for (auto& [group, list] : names) plan_.joint.push_back(std::move(list));
  }

 private:
  // In topological order, so that the result of one may be what the next one needs of a layer.
  std::vector<NodeId> joining_nodes() {
    std::unordered_set<ValueId> of_layers;
    for (const LayerPlan& layer : plan_.layers) {
      if (!layer.quantize) continue;
      const NodeId id = graph_.find_node(layer.name), add = bias_add_of(graph_, id);
      of_layers.insert(graph_.node(add.valid() ? add : id).output());
    }
    std::vector<NodeId> joins;
    for (const NodeId id : graph_.topological_order()) {
      const Node& node = graph_.node(id);
      const bool fed = std::ranges::any_of(node.inputs, [&](ValueId v) { return of_layers.contains(v); });
      if (!fed || !ends_.reason(node).empty()) continue;
      const bool joins_values =
          is_one_of(node, kJoining) && node.inputs.size() > 1 &&
          std::ranges::all_of(node.inputs, [&](ValueId v) { return is_computed_float(graph_, v); });
      if (joins_values) joins.push_back(id);
      if (joins_values || moves_only(graph_, node) || keeps_elements(node)) of_layers.insert(node.output());
    }
    return joins;
  }

  // One result element for each element of its only activation: what may stand between a layer and an addition.
  bool keeps_elements(const Node& node) const {
    if (node.is_opaque() || node.outputs.size() != 1 || node.row->layout != LayoutRule::kFollow) return false;
    const auto computed = std::ranges::count_if(node.inputs, [&](ValueId v) { return is_computed_float(graph_, v); });
    return computed == 1 && is_computed_float(graph_, node.input(0)) &&
           node.row->quant.kind() != QuantRule::Kind::kCompute;
  }

  std::map<size_t, ActivationPlan> settings_by_group(const std::set<size_t>& wanted) {
    std::map<size_t, ActivationPlan> settings;
    std::map<size_t, std::vector<ActivationPlan*>> users;
    std::map<size_t, std::string> symmetric;  // the layer that allows no offset
    const auto consider = [&](const std::string& tensor, ActivationPlan& activation, const std::string& layer) {
      const size_t group = groups_.find(graph_.find_value(tensor).index);
      if (!wanted.contains(group) || activation.bits != 8) return;
      users[group].push_back(&activation);
      settings.try_emplace(group, activation);
      if (!layer.empty() && !activation.asymmetric) symmetric.try_emplace(group, layer);
    };
    for (LayerPlan& layer : plan_.layers) {
      if (!layer.quantize) continue;
      consider(layer.tensor, layer.activation, layer.name);
      if (layer.second) consider(layer.second_tensor, *layer.second, layer.name);
    }
    for (TensorPlan& tensor : plan_.tensors) consider(tensor.tensor, tensor.activation, "");
    for (const size_t group : wanted) {
      ActivationPlan& common = settings[group];
      const auto at = symmetric.find(group);
      if (at != symmetric.end() && common.asymmetric) {
        plan_.warnings.push_back(
            fmt::format("joint quantization: values joined with the input of {} are symmetric, as "
                        "that layer demands",
                        at->second));
      }
      common.asymmetric = common.asymmetric && at == symmetric.end();
      for (ActivationPlan* user : users[group]) {
        user->search = common.search;
        user->asymmetric = common.asymmetric;
      }
    }
    return settings;
  }

  const Graph& graph_;
  Plan& plan_;
  Groups groups_;
  const ProgramEnds ends_;  // what lies behind them cannot be observed
};

}  // namespace

std::vector<std::string> tensor_types() {
  std::set<std::string> types;
  for (const std::string_view op : kQuantizable) {
    for (const Spelling& spelling : op_table().get(op).spellings) types.insert(spelling.type);
  }
  return {types.begin(), types.end()};
}

std::string reason_against_input(const Graph& graph, const Node& node, int64_t port) {
  if (!node.is_opaque() && node.row->quant.kind() == QuantRule::Kind::kCompute) {
    return "it is a layer, whose input is quantized by its own settings";
  }
  if (!is_one_of(node, kQuantizable)) return fmt::format("inputs of {} are not quantized", foreign_type(node));
  if (port < 0 || port >= static_cast<int64_t>(node.inputs.size())) {
    return fmt::format("it has no input {}", port);
  }
  const Value& value = graph.value(node.inputs[static_cast<size_t>(port)]);
  if (value.is_constant()) return fmt::format("its input {} is constant", port);
  if (value.type.dtype != DType::kFloat32) {
    return fmt::format("its input {} is {}, not float32", port, name_of(value.type.dtype));
  }
  return {};
}

InputPlanner::InputPlanner(const Graph& graph, Plan& plan) : graph_(graph), plan_(plan) {
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    index_.emplace(plan.tensors[i].tensor, i);
    for (const InputUse& use : plan.tensors[i].uses) planned_.emplace(use.node, use.input);
  }
}

const TensorPlan& InputPlanner::add(NodeId node, int64_t port, const ActivationPlan& activation) {
  const std::string& name = graph_.node(node).name;
  const std::string& tensor = graph_.value(graph_.node(node).input(static_cast<size_t>(port))).name;
  const auto [at, is_new] = index_.try_emplace(tensor, plan_.tensors.size());
  if (is_new) plan_.tensors.push_back({tensor, activation, {}});
  TensorPlan& planned = plan_.tensors[at->second];
  if (planned_.emplace(name, port).second) planned.uses.push_back({name, port});
  return planned;
}

bool same_settings(const ActivationPlan& a, const ActivationPlan& b) {
  return a.bits == b.bits && a.asymmetric == b.asymmetric && a.search == b.search;
}

void plan_joint(const Graph& graph, Plan& plan) {
  Joiner(graph, plan).run();
  if (!plan.joint.empty()) return;
  plan.warnings.push_back(
      "nothing is quantized jointly: no addition or concatenation of float32 values stands between quantized layers");
}

}  // namespace amct

#include "passes/quantize/plan_layers.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/suggestion.h"
#include "ops/op_row.h"
#include "ops/subgraph.h"
#include "passes/quantize/program_ends.h"

namespace amct {
namespace {

const QuantRule::Compute* compute_rule(const Node& node) {
  if (node.is_opaque() || node.row->quant.kind() != QuantRule::Kind::kCompute) return nullptr;
  return &node.row->quant.compute_rule();
}

ValueId weight_of(const Node& node) {
  const auto* rule = compute_rule(node);
  return rule != nullptr && rule->weight_port >= 0 ? node.input(rule->weight_port) : kNoValue;
}

ValueId recurrent_weight_of(const Node& node) {
  const auto* rule = compute_rule(node);
  return rule != nullptr && rule->recurrent_port >= 0 ? node.input(rule->recurrent_port) : kNoValue;
}

// An operator with float weights whose row keeps it float: a layer that is named with its reason, but not quantized.
bool is_float_layer(const Graph& graph, const Node& node) {
  if (node.is_opaque() || node.row->quant.kind() != QuantRule::Kind::kKeepFloat) return false;
  for (size_t port = 0; port < node.inputs.size(); ++port) {
    const InputPort* input = node.row->input_port(port);
    if (input == nullptr || input->role != Role::kWeight) continue;
    const Tensor* weight = graph.constant(node.input(port));
    if (weight != nullptr && is_floating(weight->dtype())) return true;
  }
  return false;
}

// The first other layer that reads the same weight.
std::string weight_sharer(const Graph& graph, NodeId layer) {
  const Node& node = graph.node(layer);
  for (const ValueId weight : {weight_of(node), recurrent_weight_of(node)}) {
    if (!weight.valid() || graph.constant(weight) == nullptr) continue;
    for (const Use& use : graph.value(weight).uses) {
      if (use.node != layer) return graph.node(use.node).name;
    }
  }
  return {};
}

std::string reason_to_keep(const Graph& graph, NodeId id, const ProgramEnds& ends, const QuantizeOptions& options) {
  const Node& node = graph.node(id);
  if (std::find(options.skip.begin(), options.skip.end(), node.name) != options.skip.end()) {
    return "the configuration skips it";
  }
  if (std::ranges::find(options.skip_types, foreign_type(node)) != options.skip_types.end()) {
    return fmt::format("the configuration skips {} layers", foreign_type(node));
  }
  if (std::string reason = ends.reason(node); !reason.empty()) return reason;
  const auto* rule = compute_rule(node);
  if (rule->check != nullptr) {
    if (std::string reason = rule->check(graph, node); !reason.empty()) return reason;
  }
  const Value& input = graph.value(node.input(0));
  if (input.kind == ValueKind::kConstant) return "its input is constant";
  const DType dtype = input.type.dtype;
  if (dtype != DType::kUndefined && dtype != DType::kFloat32 && dtype != DType::kFloat16) {
    return fmt::format("its input is {}, neither float32 nor float16", name_of(dtype));
  }
  if (dtype == DType::kFloat16 && rule->weight_port < 0) return "it has no weight and computes in float16";
  if (const std::string other = weight_sharer(graph, id); !other.empty()) {
    return fmt::format("its weight is shared with '{}'", other);
  }
  const ValueId bias = bias_of(graph, id);
  const Tensor* values = bias.valid() ? graph.constant(bias) : nullptr;
  if (values != nullptr && values->size() != 1 && values->size() != output_channels(graph, id)) {
    return "its bias has more than one value per output channel";
  }
  return {};
}

void check_finite(const Graph& graph, const Node& node, ValueId id, const char* what, Faults& faults) {
  const Tensor* tensor = id.valid() ? graph.constant(id) : nullptr;
  if (tensor == nullptr || !is_floating(tensor->dtype())) return;
  const auto bad = [](auto value) { return !std::isfinite(static_cast<float>(value)); };
  bool found = false;
  const Tensor resident = tensor->resident();
  if (tensor->dtype() == DType::kFloat32) {
    found = std::ranges::any_of(resident.values<float>(), bad);
  } else {
    found = std::ranges::any_of(resident.to_doubles(), bad);
  }
  if (!found) return;
  faults.add(Error(ErrorCode::kNumeric, fmt::format("{} '{}' holds NaN or infinity", what, graph.value(id).name),
                   {.model = graph.info.path, .node = node.name, .op = node.op}, "retrain or repair it"));
}

bool has_layer(const Plan& plan, const std::string& name) { return plan.find(name) != nullptr; }

void check_names(const Plan& plan, const QuantizeOptions& options, Faults& faults) {
  std::vector<std::string> known;
  for (const LayerPlan& layer : plan.layers) known.push_back(layer.name);
  for (const std::string& name : options.skip) {
    if (has_layer(plan, name)) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("there is no layer '{}' to skip", name), {},
                     suggestion(name, known, "'amct inspect' lists the layers")));
  }
}

void check_types(const QuantizeOptions& options, Faults& faults) {
  const std::vector<std::string> known = quantizable_types();
  for (const std::string& type : options.skip_types) {
    if (std::ranges::find(known, type) != known.end()) continue;
    faults.add(Error(ErrorCode::kConfig, fmt::format("'{}' is no operator whose layers are quantized", type), {},
                     suggestion(type, known, "'amct ops' lists them")));
  }
}

LayerPlan plan_layer(const Graph& graph, NodeId id, const ProgramEnds& ends, const QuantizeOptions& options) {
  const Node& node = graph.node(id);
  LayerPlan layer{.name = node.name, .op = node.op, .tensor = graph.value(quantized_input(graph, id)).name};
  if (compute_rule(node) == nullptr) {
    layer.quantize = false;
    layer.reason = node.row->quant.reason();
    return layer;
  }
  const auto& rule = *compute_rule(node);
  layer.reason = reason_to_keep(graph, id, ends, options);
  layer.quantize = layer.reason.empty();
  layer.activation.bits = options.activation_bits;
  layer.activation.asymmetric = options.asymmetric && !rule.symmetric_only_for(graph, node);
  layer.activation.search = options.search;
  if (rule.recurrent_port >= 0) {
    layer.hidden = HiddenPlan{layer.activation, {.bits = options.weight_bits, .per_channel = rule.per_channel}};
  }
  const ValueId operand = weight_of(node);
  if (operand.valid() && graph.constant(operand) == nullptr && layer.quantize) {  // a product of two activations
    layer.activation.bits = 8;
    layer.second_tensor = graph.value(operand).name;
    layer.second = layer.activation;
  } else if (rule.weight_port >= 0) {
    layer.weight = WeightPlan{.bits = options.weight_bits, .per_channel = rule.per_channel};
  }
  return layer;
}

// Layers in the subgraphs of a node: they run as often as data decides, and stay float.
void plan_inner_layers(const Node& node, const std::string& path, Plan& plan) {
  for (const Subgraph& inner : subgraphs(node)) {
    const std::string inside = fmt::format("{}/{}/", path, inner.attr);
    for (const NodeId id : inner.graph->topological_order()) {
      const Node& layer = inner.graph->node(id);
      const bool is_layer = compute_rule(layer) != nullptr || is_float_layer(*inner.graph, layer);
      if (is_layer && layer.input(0).valid()) {
        plan.layers.push_back({.name = inside + layer.name,
                               .op = layer.op,
                               .tensor = inside + inner.graph->value(layer.input(0)).name,
                               .quantize = false,
                               .reason = fmt::format("it stands in a subgraph of '{}'", node.name)});
      }
      plan_inner_layers(layer, inside + layer.name, plan);
    }
  }
}

}  // namespace

std::vector<std::string> quantizable_types() {
  std::set<std::string> types;
  for (const OpRow& row : op_table().rows()) {
    if (row.quant.kind() != QuantRule::Kind::kCompute) continue;
    for (const Spelling& spelling : row.spellings) types.insert(spelling.type);
  }
  return {types.begin(), types.end()};
}

const std::string& foreign_type(const Node& node) { return node.origin.op.empty() ? node.op : node.origin.op; }

NodeId bias_add_of(const Graph& graph, NodeId matmul) {
  const Node& node = graph.node(matmul);
  if (node.op != "matmul") return kNoNode;
  const Use* use = graph.sole_use(node.output());
  if (use == nullptr || graph.node(use->node).op != "add") return kNoNode;
  const Tensor* addend = graph.constant(graph.node(use->node).input(1 - use->port));
  const bool fits = addend != nullptr && addend->rank() == 1 && addend->size() == output_channels(graph, matmul);
  return fits ? use->node : kNoNode;
}

bool is_zero_pad(const Graph& graph, const Node& node) {
  if (node.op != "pad" || attr_string(node, "mode") != "constant") return false;
  if (!node.input(2).valid()) return true;
  const Tensor* value = graph.constant(node.input(2));
  return value != nullptr && value->size() == 1 && value->to_doubles()[0] == 0;
}

ValueId quantized_input(const Graph& graph, NodeId layer) {
  const ValueId input = graph.node(layer).input(0);
  const Node* pad = graph.producer(input);
  const bool own = graph.node(layer).op == "average_pool" && pad != nullptr && graph.sole_use(input) != nullptr;
  return own && is_zero_pad(graph, *pad) ? pad->input(0) : input;
}

ValueId bias_of(const Graph& graph, NodeId layer) {
  const Node& node = graph.node(layer);
  const auto* rule = compute_rule(node);
  if (rule != nullptr && rule->bias_port >= 0 && node.input(rule->bias_port).valid())
    return node.input(rule->bias_port);
  const NodeId add = bias_add_of(graph, layer);
  if (!add.valid()) return kNoValue;
  const Node& node_of_add = graph.node(add);
  return node_of_add.input(node_of_add.input(0) == node.output() ? 1 : 0);
}

bool takes_scale_per_channel(const Graph& graph, NodeId layer) {
  const Node& node = graph.node(layer);
  const Shape& result = graph.value(node.output()).type.shape;
  return node.op != "matmul" || (result.ranked() && result.rank() == 2);
}

int64_t output_channels(const Graph& graph, NodeId layer) {
  const Node& node = graph.node(layer);
  const ValueId weight = weight_of(node);
  const Tensor* tensor = weight.valid() ? graph.constant(weight) : nullptr;
  if (tensor == nullptr) return 0;
  const int axis = compute_rule(node)->channel_axis_for(graph, node);
  return axis >= 0 && axis < static_cast<int>(tensor->rank()) ? tensor->dims()[axis] : 0;
}

Plan plan_layers(const Graph& graph, const QuantizeOptions& options) {
  Plan plan{.model = graph.info.path};
  plan.calibrate_with_quantized_weights = options.calibrate_with_quantized_weights;
  const ProgramEnds ends(graph);
  Faults faults;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    plan_inner_layers(node, node.name, plan);
    if ((compute_rule(node) == nullptr && !is_float_layer(graph, node)) || !node.input(0).valid()) continue;
    plan.layers.push_back(plan_layer(graph, id, ends, options));
    if (!plan.layers.back().quantize) continue;
    check_finite(graph, node, weight_of(node), "weight", faults);
    check_finite(graph, node, recurrent_weight_of(node), "recurrent weight", faults);
    check_finite(graph, node, bias_of(graph, id), "bias", faults);
  }
  check_names(plan, options, faults);
  check_types(options, faults);
  faults.throw_if_any();
  return plan;
}

}  // namespace amct

#include "passes/fusion/fuse_split_conv_into_group_conv.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr int64_t kChannels = 1;

bool along_channels(const Graph& graph, const Node& node, ValueId value) {
  const Shape& shape = graph.value(value).type.shape;
  return shape.ranked() && shape.rank() > 2 && normalize_axis(attr_int(node, "axis"), shape.rank()) == kChannels;
}

// The convolutions between a Split and a Concat in the order of the parts; empty if that is not what stands there.
std::vector<NodeId> branches(const Graph& graph, const Node& concat) {
  std::vector<NodeId> convs;
  const Node* split = nullptr;
  for (size_t i = 0; i < concat.inputs.size(); ++i) {
    const Node* conv = graph.producer(concat.inputs[i]);
    if (conv == nullptr || !is_op(*conv, "conv") || graph.sole_use(concat.inputs[i]) == nullptr) return {};
    const Node* source = graph.producer(conv->input(0));
    if (source == nullptr || !is_op(*source, "split") || graph.sole_use(conv->input(0)) == nullptr) return {};
    if (split != nullptr && source != split) return {};
    split = source;
    if (split->output(i) != conv->input(0)) return {};
    convs.push_back(graph.value(concat.inputs[i]).producer);
  }
  if (convs.size() < 2 || convs.size() != split->outputs.size()) return {};
  return along_channels(graph, concat, concat.output()) && along_channels(graph, *split, split->input(0))
             ? convs
             : std::vector<NodeId>();
}

std::string difference(const Graph& graph, const Node& first, const Node& other) {
  const Tensor* a = graph.constant(first.input(1));
  const Tensor* b = graph.constant(other.input(1));
  if (a == nullptr || b == nullptr) return "a weight is computed, not constant";
  if (a->dims() != b->dims() || a->dtype() != b->dtype()) return "their weights have different extents or types";
  if (first.input(2).valid() != other.input(2).valid()) return "some have a bias and some do not";
  for (const Node* node : {&first, &other}) {
    if (!node->input(2).valid()) continue;
    const Tensor* bias = graph.constant(node->input(2));
    if (bias == nullptr) return "a bias is computed, not constant";
    if (bias->dims() != Dims{a->dims()[0]} || bias->dtype() != a->dtype()) return "their biases have different extents";
  }
  for (const AttrSpec& attr : first.row->attrs) {
    const bool same = attr.type == AttrType::kInts     ? attr_ints(first, attr.name) == attr_ints(other, attr.name)
                      : attr.type == AttrType::kString ? attr_string(first, attr.name) == attr_string(other, attr.name)
                                                       : attr_int(first, attr.name) == attr_int(other, attr.name);
    if (!same) return fmt::format("their {} differ", attr.name);
  }
  return {};
}

Tensor stacked(const Graph& graph, const std::vector<NodeId>& convs, size_t port) {
  const Tensor& first = *graph.constant(graph.node(convs.front()).input(port));
  Dims dims = first.dims();
  dims[0] *= static_cast<int64_t>(convs.size());
  Tensor result = Tensor::allocate(first.dtype(), dims);
  auto* to = static_cast<std::byte*>(result.mutable_view().data);
  for (const NodeId id : convs) {
    const auto bytes = graph.constant(graph.node(id).input(port))->bytes();
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  }
  return result;
}

void join(Graph& graph, NodeId concat, const std::vector<NodeId>& convs) {
  const NodeId keeper = convs.front();
  const NodeId split = graph.value(graph.node(keeper).input(0)).producer;
  const std::string name = graph.node(keeper).name;
  const bool has_bias = graph.node(keeper).input(2).valid();
  const Tensor weight = stacked(graph, convs, 1), bias = has_bias ? stacked(graph, convs, 2) : Tensor();
  const int64_t groups = attr_int(graph.node(keeper), "group") * static_cast<int64_t>(convs.size());
  set_constant_input(graph, keeper, 1, weight, name + ".weight");
  if (has_bias) set_constant_input(graph, keeper, 2, bias, name + ".bias");
  graph.node(keeper).attrs.set("group", groups);
  graph.set_input(keeper, 0, graph.node(split).input(0));
  graph.replace_uses(graph.node(concat).output(), graph.node(keeper).output());
  graph.erase_node(concat);
  for (const NodeId id : convs) {
    if (id != keeper) graph.erase_node(id);
  }
  graph.erase_node(split);
}

}  // namespace

PassReport fuse_split_conv_into_group_conv(Graph& graph, const PassContext& context) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    if (!graph.alive(id) || !is_op(graph.node(id), "concat")) continue;
    const std::vector<NodeId> convs = branches(graph, graph.node(id));
    if (convs.empty() || !may_replace(graph, graph.node(id).output(), graph.node(convs.front()).output())) continue;
    const Node& first = graph.node(convs.front());
    const std::string name = first.name;
    std::string reason;
    std::vector<std::string> others;
    for (const NodeId other : convs) {
      if (context.skip_layers.contains(graph.node(other).name)) reason = "one of them is to be left alone";
      if (reason.empty()) reason = difference(graph, first, graph.node(other));
      if (other != convs.front()) others.push_back(graph.node(other).name);
    }
    if (!reason.empty()) {
      report.left_alone(name, fmt::format("the convolutions of {} parts are not joined: {}", convs.size(), reason));
      continue;
    }
    join(graph, id, convs);
    for (const std::string& other : others) report.applied(name, fmt::format("took in conv '{}'", other), other);
  }
  return report;
}

}  // namespace amct

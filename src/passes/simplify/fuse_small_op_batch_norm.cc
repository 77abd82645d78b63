#include "passes/simplify/fuse_small_op_batch_norm.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "ops/op_row.h"
#include "passes/channel_affine.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

constexpr size_t kChannelAxis = 1;

struct Chain {
  std::vector<NodeId> nodes;
  ValueId data;  // what the first node reads
  ChannelAffine map;
  NodeId keeper;
  bool has_batch_norm = false, has_scale = false, has_shift = false, per_channel = false;

  bool worth_joining() const {
    return nodes.size() >= 2 && (has_batch_norm || (has_scale && has_shift && per_channel));
  }
};

// The longest chain that starts at `first`; empty if `first` is no such node.
Chain chain_from(const Graph& graph, NodeId first) {
  Chain chain;
  for (NodeId id = first; id.valid();) {
    const Node& node = graph.node(id);
    const auto step = affine_of(graph, node, kChannelAxis);
    if (!step || (!chain.nodes.empty() && node.input(step->data_port) != graph.node(chain.nodes.back()).output()))
      break;
    const auto map = chain.nodes.empty() ? step->map : chain.map.then(step->map);
    if (!map) break;
    if (chain.nodes.empty()) chain.data = node.input(step->data_port);
    const bool batch_norm = is_op(node, "batch_norm");
    if (batch_norm || !chain.has_batch_norm) chain.keeper = id;
    chain.has_batch_norm = chain.has_batch_norm || batch_norm;
    chain.has_scale = chain.has_scale || is_op(node, "mul") || is_op(node, "div");
    chain.has_shift = chain.has_shift || is_op(node, "add") || is_op(node, "sub");
    chain.per_channel = chain.per_channel || !step->map.is_scalar();
    chain.map = *map;
    chain.nodes.push_back(id);
    const Use* next = graph.sole_use(node.output());
    id = next != nullptr ? next->node : kNoNode;
  }
  return chain;
}

Tensor vector_of(const std::vector<double>& numbers, DType dtype) {
  return Tensor::of<double>({static_cast<int64_t>(numbers.size())}, numbers).cast(dtype);
}

bool is_finite(const Tensor& tensor) {
  const std::vector<double> numbers = tensor.to_doubles();
  return std::all_of(numbers.begin(), numbers.end(), [](double value) { return std::isfinite(value); });
}

// Makes the keeper compute the whole chain; false if its parameters are not finite.
bool join(Graph& graph, const Chain& chain, const ChannelAffine& map) {
  const DType dtype = graph.value(chain.data).type.dtype;
  const size_t channels = map.scale.size();
  const Tensor parameters[] = {vector_of(map.scale, dtype), vector_of(map.shift, dtype),
                               vector_of(std::vector<double>(channels, 0), dtype),
                               vector_of(std::vector<double>(channels, 1), dtype)};
  if (!is_finite(parameters[0]) || !is_finite(parameters[1])) return false;
  const std::string name = graph.node(chain.keeper).name;
  std::vector<ValueId> inputs{chain.data};
  const char* const suffixes[] = {"scale", "bias", "mean", "var"};
  for (size_t i = 0; i < 4; ++i) {
    inputs.push_back(graph.add_constant(fmt::format("{}.{}", name, suffixes[i]), parameters[i]));
  }
  const std::vector<ValueId> old = graph.node(chain.keeper).inputs;
  graph.set_op(chain.keeper, "batch_norm", &op_table().get("batch_norm"), {{"epsilon", 0.0}});
  graph.set_inputs(chain.keeper, inputs);
  for (const ValueId id : old) {
    if (graph.alive(id) && graph.value(id).is_constant() && graph.value(id).uses.empty() && !graph.is_output(id))
      graph.erase_value(id);
  }
  graph.replace_uses(graph.node(chain.nodes.back()).output(), graph.node(chain.keeper).output());
  for (auto at = chain.nodes.rbegin(); at != chain.nodes.rend(); ++at) {
    if (*at != chain.keeper) graph.erase_node(*at);
  }
  return true;
}

}  // namespace

PassReport fuse_small_op_batch_norm(Graph& graph, const PassContext&) {
  PassReport report;
  if (op_table().find("batch_norm") == nullptr) return report;
  std::vector<bool> seen(graph.node_slots());
  for (const NodeId id : graph.topological_order()) {
    if (seen[id.index]) continue;
    const Chain chain = chain_from(graph, id);
    for (const NodeId member : chain.nodes) seen[member.index] = true;
    if (!chain.worth_joining()) continue;
    const std::string name = graph.node(chain.keeper).name;
    const Shape& shape = graph.value(chain.data).type.shape;
    const bool known = shape.ranked() && shape.rank() >= 2 && shape[kChannelAxis].is_fixed();
    const auto map = known ? chain.map.spread(shape[kChannelAxis].extent()) : std::nullopt;
    if (!map) {
      report.left_alone(name, "looks like a batch norm, but the number of channels is not known");
    } else if (!join(graph, chain, *map)) {
      report.left_alone(name, "looks like a batch norm, but its factors are not finite");
    } else {
      report.applied(name, fmt::format("joined {} operators to one batch norm", chain.nodes.size()));
    }
  }
  return report;
}

}  // namespace amct

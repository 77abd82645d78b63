#include "passes/fusion/fuse_pad_into_conv.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "base/checked_math.h"
#include "ops/op_row.h"
#include "passes/rewrite.h"

namespace amct {
namespace {

struct Padding {
  std::vector<int64_t> begin, end;  // of the spatial axes
  double value = 0;
};

// What pad node `node` adds around the spatial axes; `reason` says why that cannot be told or goes beyond them.
std::optional<Padding> read_padding(const Graph& graph, const Node& node, std::string& reason) {
  const Shape& shape = graph.value(node.input(0)).type.shape;
  const auto pads = constant_ints(graph, node, 1);
  reason = "it is not constant padding of known extents";
  if (node.attrs.get<std::string>("mode", "constant") != "constant" || !shape.ranked() || shape.rank() < 3 || !pads) {
    return std::nullopt;
  }
  const size_t rank = shape.rank();
  std::vector<int64_t> axes(rank);
  for (size_t i = 0; i < rank; ++i) axes[i] = static_cast<int64_t>(i);
  if (node.input(3).valid()) {
    const auto given = constant_ints(graph, node, 3);
    if (!given) return std::nullopt;
    axes = *given;
  }
  if (pads->size() != 2 * axes.size()) return std::nullopt;
  Padding padding{std::vector<int64_t>(rank), std::vector<int64_t>(rank), 0};
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(normalize_axis(axes[i], rank));
    padding.begin[axis] = (*pads)[i];
    padding.end[axis] = (*pads)[axes.size() + i];
  }
  if (node.input(2).valid()) {
    const Tensor* value = graph.constant(node.input(2));
    if (value == nullptr || value->size() != 1) return std::nullopt;
    padding.value = value->to_doubles()[0];
  }
  for (const size_t axis : {size_t{1}, size_t{0}}) {  // the later one first
    if (padding.begin[axis] != 0 || padding.end[axis] != 0) {
      reason = "it pads batch or channels";
      return std::nullopt;
    }
    padding.begin.erase(padding.begin.begin() + static_cast<std::ptrdiff_t>(axis));
    padding.end.erase(padding.end.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  const auto negative = [](int64_t pad) { return pad < 0; };
  if (std::any_of(padding.begin.begin(), padding.begin.end(), negative) ||
      std::any_of(padding.end.begin(), padding.end.end(), negative)) {
    reason = "it crops";
    return std::nullopt;
  }
  return padding;
}

// True if no element of `id` is below zero.
bool never_negative(const Graph& graph, ValueId id) {
  const Node* producer = graph.producer(id);
  if (producer == nullptr) return false;
  if (is_op(*producer, "relu") || is_op(*producer, "sigmoid")) return true;
  const Tensor* low = is_op(*producer, "clip") ? graph.constant(producer->input(1)) : nullptr;
  return low != nullptr && low->size() == 1 && low->to_doubles()[0] >= 0;
}

// True if padding never is the largest element of a window that holds one element of x.
bool never_wins(const Graph& graph, ValueId x, double value) {
  return value <= -static_cast<double>(std::numeric_limits<float>::max()) || (value <= 0 && never_negative(graph, x));
}

std::vector<int64_t> own_pads(const Node& layer, size_t spatial) {
  auto pads = layer.attrs.get<std::vector<int64_t>>("pads", {});
  if (pads.empty() || layer.attrs.get<std::string>("auto_pad", "NOTSET") == "VALID") pads.assign(2 * spatial, 0);
  return pads;
}

// Why the layer cannot take the padding; empty if it can.
std::string refusal(const Graph& graph, const Node& layer, ValueId x, const Padding& padding) {
  const auto auto_pad = layer.attrs.get<std::string>("auto_pad", "NOTSET");
  if (auto_pad != "NOTSET" && auto_pad != "VALID") return "auto_pad derives the layer's own padding from it";
  const size_t spatial = padding.begin.size();
  const std::vector<int64_t> pads = own_pads(layer, spatial);
  if (pads.size() != 2 * spatial) return "the layer's own padding is of another rank";
  const bool pads_itself = std::any_of(pads.begin(), pads.end(), [](int64_t pad) { return pad != 0; });
  if (is_op(layer, "conv")) return padding.value == 0 ? "" : "its value is not zero";
  if (layer.attrs.get<int64_t>("ceil_mode", 0) != 0) return "the layer rounds its extents up";
  const auto kernel = layer.attrs.require<std::vector<int64_t>>("kernel_shape");
  for (size_t i = 0; i < spatial; ++i) {
    const auto begin = checked_add(padding.begin[i], pads[i]);
    const auto end = checked_add(padding.end[i], pads[spatial + i]);
    if (i >= kernel.size() || !begin || !end || *begin >= kernel[i] || *end >= kernel[i]) {
      return "it is as wide as the kernel";
    }
  }
  if (is_op(layer, "average_pool")) {
    const bool counted = layer.attrs.get<int64_t>("count_include_pad", 0) != 0;
    if (padding.value != 0) return "its value is not zero";
    return pads_itself && !counted ? "the layer does not count its own padding" : "";
  }
  if (layer.outputs.size() > 1 && layer.outputs[1].valid()) return "the layer's indices count it";
  return never_wins(graph, x, padding.value) ? "" : "its value could be a maximum";
}

void take_padding(Graph& graph, NodeId id, const Padding& padding) {
  Node& layer = graph.node(id);
  const size_t spatial = padding.begin.size();
  std::vector<int64_t> pads = own_pads(layer, spatial);
  for (size_t i = 0; i < spatial; ++i) {
    pads[i] += padding.begin[i];
    pads[spatial + i] += padding.end[i];
  }
  layer.attrs.set("pads", pads);
  layer.attrs.erase("auto_pad");
  if (is_op(layer, "average_pool")) layer.attrs.set("count_include_pad", int64_t{1});
}

// Folds pad node `id` into its reader; why not, or empty when done.
std::string fold(Graph& graph, NodeId id, NodeId reader, const PassContext& context) {
  const Node& layer = graph.node(reader);
  if (context.skip_layers.contains(layer.name)) return "the layer is to be left alone";
  std::string reason;
  const auto padding = read_padding(graph, graph.node(id), reason);
  if (!padding) return reason;
  const ValueId x = graph.node(id).input(0);
  reason = refusal(graph, layer, x, *padding);
  if (!reason.empty()) return reason;
  take_padding(graph, reader, *padding);
  bypass_node(graph, id, x);
  return {};
}

}  // namespace

PassReport fuse_pad_into_conv(Graph& graph, const PassContext& context) {
  PassReport report;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!is_op(node, "pad")) continue;
    const Value& padded = graph.value(node.output());
    const auto reader = std::find_if(padded.uses.begin(), padded.uses.end(), [&](const Use& use) {
      const Node& user = graph.node(use.node);
      return use.port == 0 && (is_op(user, "conv") || is_op(user, "average_pool") || is_op(user, "max_pool"));
    });
    if (reader == padded.uses.end()) continue;
    const NodeId layer_id = reader->node;
    const std::string name = node.name;
    const std::string layer = graph.node(layer_id).name;
    const std::string reason =
        graph.sole_use(node.output()) == nullptr ? "its result has other uses" : fold(graph, id, layer_id, context);
    if (reason.empty()) {
      report.applied(layer, fmt::format("folded pad '{}'", name), name);
    } else {
      report.left_alone(layer, fmt::format("pad '{}' is not folded into it: {}", name, reason));
    }
  }
  return report;
}

}  // namespace amct

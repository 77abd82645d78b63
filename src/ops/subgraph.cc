#include "ops/subgraph.h"

#include <fmt/core.h>

#include "base/error.h"
#include "ops/infer.h"

namespace amct {

std::vector<Subgraph> subgraphs(const Node& node) {
  std::vector<Subgraph> result;
  for (const auto& [name, value] : node.attrs.items()) {
    const auto* graph = std::get_if<std::shared_ptr<const Graph>>(&value);
    if (graph != nullptr && *graph != nullptr) result.push_back({name, *graph});
  }
  return result;
}

bool has_subgraphs(const Node& node) {
  for (const auto& [name, value] : node.attrs.items()) {
    if (std::holds_alternative<std::shared_ptr<const Graph>>(value)) return true;
  }
  return false;
}

size_t capture_count(const Node& node) {
  const auto count = node.attrs.get<int64_t>(kCaptures, 0);
  bool fits = count >= 0 && static_cast<uint64_t>(count) <= node.inputs.size();
  for (const Subgraph& inner : subgraphs(node)) {
    fits = fits && static_cast<uint64_t>(count) <= inner.graph->inputs().size();
  }
  if (!fits) {
    throw Error(ErrorCode::kInput, fmt::format("{} captured values are more than it or its subgraphs have", count),
                {.node = node.name, .op = node.op});
  }
  return static_cast<size_t>(count);
}

FormalTypes::FormalTypes(Graph& graph, size_t captures) : graph_(graph) {
  for (size_t i = 0; i + captures < graph.inputs().size(); ++i) {
    TensorType& type = graph.value(graph.inputs()[i]).type;
    declared_.push_back(type);
    if (type.shape.ranked()) type.shape = Shape::of_rank(type.shape.rank());
  }
}

FormalTypes::~FormalTypes() {
  for (size_t i = 0; i < declared_.size(); ++i) graph_.value(graph_.inputs()[i]).type = std::move(declared_[i]);
}

void complete_subgraph_types(Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.is_opaque() || !has_subgraphs(node)) continue;
    const size_t captures = capture_count(node);
    for (const Subgraph& subgraph : subgraphs(node)) {
      Graph inner = *subgraph.graph;
      const size_t count = inner.inputs().size();
      // Inputs of node and subgraph correspond from the end; a node may have more (the condition of an If).
      for (size_t i = 0; i < count && count <= node.inputs.size(); ++i) {
        const ValueId outer = node.inputs[node.inputs.size() - count + i];
        if (!outer.valid()) continue;
        const TensorType& known = graph.value(outer).type;
        TensorType& type = inner.value(inner.inputs()[i]).type;
        if (i + captures >= count && known.dtype != DType::kUndefined) type = known;
        if (type.dtype == DType::kUndefined) type.dtype = known.dtype;
      }
      try {
        const FormalTypes formal(inner, captures);
        update_types(inner);
        complete_subgraph_types(inner);
      } catch (const Error&) {
        continue;
      }
      graph.node(id).attrs.set(subgraph.attr, std::make_shared<const Graph>(std::move(inner)));
    }
  }
}

const Node* find_opaque(const Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.is_opaque()) return &node;
    for (const Subgraph& inner : subgraphs(node)) {
      if (const Node* found = find_opaque(*inner.graph)) return found;
    }
  }
  return nullptr;
}

const Node* unavoidable_opaque(const Node& node) {
  if (node.is_opaque()) return &node;
  const Node* opaque = nullptr;
  for (const Subgraph& inner : subgraphs(node)) {
    opaque = find_opaque(*inner.graph);
    if (opaque == nullptr) return nullptr;
  }
  return opaque;
}

}  // namespace amct

// Graphs for tests: from text, nodes by the name of their row, inputs of floats, and what a graph holds in the order in
// which it runs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/text.h"
#include "ops/infer.h"
#include "ops/op_row.h"

namespace amct::testing {

// The graph of docs/formats/graph-text.md at opset 17, its types inferred.
inline Graph graph_of(const std::string& text) {
  Graph graph = parse_text("opset \"\" 17\n" + text, [](std::string_view op) { return op_table().find(op); });
  update_types(graph);
  return graph;
}

inline ValueId float_input(Graph& graph, const Dims& dims, std::string_view name = "x") {
  return graph.add_input(name, {DType::kFloat32, Shape::of(dims)});
}

// Adds a node of a row and returns its first output.
inline ValueId op(Graph& graph, std::string_view name, std::string_view row, std::vector<ValueId> inputs,
                  Attrs attrs = {}) {
  return graph.node(add_op(graph, name, row, std::move(inputs), std::move(attrs))).output();
}

inline std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.topological_order()) names.push_back(graph.node(id).name);
  return names;
}

inline std::vector<std::string> op_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.topological_order()) names.push_back(graph.node(id).op);
  return names;
}

// How many nodes of this row there are.
inline size_t count_of(const Graph& graph, std::string_view row) {
  size_t count = 0;
  for (const NodeId id : graph.nodes()) count += graph.node(id).op == row ? 1 : 0;
  return count;
}

}  // namespace amct::testing

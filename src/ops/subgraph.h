// Control flow: operators whose attributes are graphs (If, Loop, Scan).
//
// A subgraph is an ordinary closed graph: it reads its inputs and constants, nothing else. Its inputs are the formal
// parameters of the operator, then the values that the foreign form reads from the graph around it, its *captures*. The
// node takes the captured values as its last inputs, in the same order; all subgraphs of a node share the list. So
// every pass sees who uses what without knowing about scopes: a captured value has a use, and lives. The number of
// captures is the node's attribute "captures"; import collects them through all levels, export turns them into
// references to outer names again.
//
//   %y: float32[2] = if(%c, %x, %w) {captures=2, else_branch=graph {
//     %x: float32[2] = input
//     %w: float32[2] = input
//     …
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace amct {

inline constexpr std::string_view kCaptures = "captures";

struct Subgraph {
  std::string attr;  // "then_branch"
  std::shared_ptr<const Graph> graph;
};

// The graph attributes of a node, in order of their names; cheap for the many nodes that have none.
std::vector<Subgraph> subgraphs(const Node& node);
bool has_subgraphs(const Node& node);

// Number of the node's last inputs that are captures. Throws Error(kInput) if the node or a subgraph has fewer inputs.
size_t capture_count(const Node& node);

// The types of a subgraph's formal parameters, which come before its captures. While the object lives, the graph's own
// are without extents: what a file declares there need not hold for every turn of a loop, so that nothing may follow
// from it.
class FormalTypes {
 public:
  FormalTypes(Graph& graph, size_t captures);
  ~FormalTypes();
  FormalTypes(const FormalTypes&) = delete;
  FormalTypes& operator=(const FormalTypes&) = delete;

 private:
  Graph& graph_;
  std::vector<TensorType> declared_;
};

// Puts on the inputs of subgraphs what is known around them: the types of captures, and the element types of formal
// parameters that declare none; then infers the types within. A subgraph that is impossible for these types (a branch
// that is never taken with them) keeps the types it has.
void complete_subgraph_types(Graph& graph);

// The first opaque node of the graph or of graphs within it; null if there is none.
const Node* find_opaque(const Graph& graph);
// The opaque node that running this one always meets: itself, or one in each of its subgraphs, whichever way control
// flow goes; null if there is none.
const Node* unavoidable_opaque(const Node& node);

}  // namespace amct

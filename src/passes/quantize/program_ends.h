// Where a program for fixed extents ends: at operators that are not known, and at those whose results have a shape that
// the data decides (NonMaxSuppression, a Loop that collects until the data ends it). What lies behind them is run node
// by node or not at all (exec/session.h), so it cannot be observed: layers there stay float. What comes before is
// calibrated and compared as in any network.
//
// Told from the graph alone (data_dependence.h); with the types for concrete extents, what those leave open besides
// (exec/needed.h decides by the same rules what a program computes).
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "ops/infer.h"

namespace amct {

class ProgramEnds {
 public:
  explicit ProgramEnds(const Graph& graph, const InferredTypes* types = nullptr);  // refers to the graph

  // The nodes at which programs end, none of them behind another, in topological order.
  const std::vector<NodeId>& nodes() const { return nodes_; }
  // The one of them that stands before the value; kNoNode where a program reaches it.
  NodeId before(ValueId id) const { return before_[id.index]; }
  // Why an input of the node cannot be observed, a clause naming what stands before it; "" if all can.
  std::string reason(const Node& node) const;

 private:
  const Graph& graph_;
  std::vector<NodeId> before_;  // by value
  std::vector<NodeId> nodes_;
};

// Why a program ends at the node, a clause: "'nms' (NonMaxSuppression) has results whose shape depends on the data".
std::string reason_of_end(const Graph& graph, NodeId id);

}  // namespace amct

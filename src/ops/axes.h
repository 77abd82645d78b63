// The coupling rule of an operator: which axes of its inputs and outputs are the same channels.
//
// A rule lists relations between axes of concrete extents. An axis that no relation mentions is not coupled, and
// removing an index from it is not defined. One union-find engine joins the relations of all nodes to channel groups;
// no pruning code names an operator. The conformance test proves every relation by removing indices and running the
// operator.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace amct {

struct AxisRef {
  enum class Side { kInput, kOutput };
  Side side = Side::kInput;
  size_t port = 0;
  size_t axis = 0;
  // The axis is seen as (outer, channel, inner): index = (o * channels + c) * inner + i. 1 and 1 for a plain axis.
  int64_t outer = 1;
  int64_t inner = 1;
  int64_t offset = 0;  // channel c of the relation is channel offset + c of the axis (concat, slice, split)
};

inline AxisRef in_axis(size_t port, size_t axis) { return {AxisRef::Side::kInput, port, axis}; }
inline AxisRef out_axis(size_t port, size_t axis) { return {AxisRef::Side::kOutput, port, axis}; }

struct AxisRelation {
  enum class Kind {
    kTie,    // removing channel c from all of `refs` leaves the other results unchanged
    kFree,   // contracted: `refs` are inputs only; removing c from all equals zeroing c in the first
    kGroup,  // like kTie for whole blocks: channels go in `groups` equal runs, all or none of a run
    kLock,   // must not change, for the stated reason
  };
  Kind kind = Kind::kTie;
  int64_t channels = 0;
  std::vector<AxisRef> refs;
  int64_t groups = 1;
  std::string reason;
};

class AxesContext {
 public:
  AxesContext(const Graph& graph, const Node& node, std::vector<Dims> inputs, std::vector<Dims> outputs)
      : graph_(graph), node_(node), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  const Graph& graph() const { return graph_; }
  const Node& node() const { return node_; }
  size_t input_count() const { return inputs_.size(); }
  size_t output_count() const { return outputs_.size(); }
  bool has(size_t port) const { return node_.input(port).valid(); }
  const Dims& input(size_t port) const { return inputs_[port]; }  // empty also for an absent input
  const Dims& output(size_t port) const { return outputs_[port]; }
  const Tensor* constant(size_t port) const { return graph_.constant(node_.input(port)); }

 private:
  const Graph& graph_;
  const Node& node_;
  std::vector<Dims> inputs_;
  std::vector<Dims> outputs_;
};

using AxesFn = std::vector<AxisRelation> (*)(const AxesContext&);
using CostContext = AxesContext;  // cost rules read the same: the node and concrete extents

std::vector<AxisRelation> axes_none(const AxesContext&);  // nothing is coupled
std::vector<AxisRelation> axes_elementwise(
    const AxesContext&);  // every axis of every (broadcast) input with the output's
AxisRelation tie(int64_t channels, std::vector<AxisRef> refs);
AxisRelation free_axis(int64_t channels, std::vector<AxisRef> refs);
AxisRelation lock(AxisRef ref, std::string reason);

}  // namespace amct

#include "passes/quantize/range_limits.h"

#include <algorithm>

#include "passes/rewrite.h"

namespace amct {

namespace {

// What a node with constant bounds gives; unlimited for any other.
RangeLimits limits_of(const Graph& graph, const Node* node) {
  RangeLimits limits;
  if (node == nullptr || (node->op != "clip" && node->op != "relu")) return limits;
  if (node->op == "relu") limits.low = 0;
  if (node->op == "clip") {
    const ClipBounds bounds = clip_bounds(graph, *node);
    if (bounds.low) limits.low = static_cast<float>(*bounds.low);
    if (bounds.high) limits.high = static_cast<float>(*bounds.high);
  }
  return limits.low > 0 || limits.high < 0 ? RangeLimits{} : limits;  // a range without zero does not bind a quantizer
}

}  // namespace

RangeLimits range_limits(const Graph& graph, ValueId value) {
  const Node* producer = graph.producer(value);
  RangeLimits limits = producer != nullptr && producer->op == "clip" ? limits_of(graph, producer) : RangeLimits{};
  const Use* use = graph.sole_use(value);
  if (use == nullptr || use->port != 0) return limits;
  const RangeLimits after = limits_of(graph, &graph.node(use->node));
  return {std::max(limits.low, after.low), std::min(limits.high, after.high)};
}

}  // namespace amct

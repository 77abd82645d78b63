#include "passes/quantize/range_limits.h"

namespace amct {

RangeLimits range_limits(const Graph& graph, ValueId value) {
  const Node* node = graph.producer(value);
  if (node == nullptr || node->op != "clip") return {};
  RangeLimits limits;
  const auto read = [&](size_t port, float& bound) {
    const Tensor* constant = graph.constant(node->input(port));
    if (constant != nullptr && constant->size() == 1) bound = static_cast<float>(constant->to_doubles()[0]);
  };
  read(1, limits.low);
  read(2, limits.high);
  if (limits.low > 0 || limits.high < 0) return {};  // a range without zero does not bind a quantizer
  return limits;
}

}  // namespace amct

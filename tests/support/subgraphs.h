// Graphs inside nodes, for tests: branches of one input, and the attributes of an If.
#pragma once

#include <memory>
#include <vector>

#include "ops/op_row.h"

namespace amct::testing {

using GraphPtr = std::shared_ptr<const Graph>;

// x -> what `build(graph, x)` makes of it.
template <typename Build>
GraphPtr branch(const Dims& dims, Build&& build) {
  auto graph = std::make_shared<Graph>();
  const ValueId x = graph->add_input("x", {DType::kFloat32, Shape::of(dims)});
  graph->set_outputs(build(*graph, x));
  return graph;
}

inline Attrs if_attrs(const GraphPtr& yes, const GraphPtr& no, int64_t captures = 1) {
  return {{"then_branch", yes}, {"else_branch", no}, {"captures", captures}};
}

}  // namespace amct::testing

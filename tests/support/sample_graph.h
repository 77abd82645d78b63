// A row's sample as a graph of one node, with the values of its inputs.
#pragma once

#include <vector>

#include "ops/op_row.h"

namespace amct::testing {

struct SampleGraph {
  Graph graph;
  NodeId node;
  std::vector<Tensor> node_inputs;   // of the node, in its order; no tensor where absent
  std::vector<Tensor> graph_inputs;  // those of them that are no constants
};

// Random inputs depend on the seed and the sample alone. `opset` is noted as the graph's own.
SampleGraph make_sample_graph(const OpRow& row, const Sample& sample, uint64_t seed, int64_t opset);

// Random elements as the sample asks for them: uniform in [low, high], integers rounded.
Tensor sample_tensor(const SampleInput& input, uint64_t seed);

}  // namespace amct::testing

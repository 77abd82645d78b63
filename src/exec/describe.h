// What is known of a step before it runs: its arithmetic and the memory that it touches.
#pragma once

#include <vector>

#include "exec/program_impl.h"

namespace amct {

// Multiply-accumulates of one node at these extents; those of absent inputs and outputs are empty.
int64_t macs_of(const Graph& graph, const Node& node, const InferredTypes& types);

// Bytes of all operands, each once.
int64_t bytes_moved(const CompiledStep& step);

// A node that runs on tensors, outside any program.
Program::StepInfo describe_run(const Graph& graph, const Node& node, const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& outputs);

}  // namespace amct

// What running compiled programs takes, for --max-memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/memory_limit.h"
#include "exec/program.h"

namespace amct {

// Bytes of the constants of a graph; those that share memory count once.
uint64_t constant_bytes(const Graph& graph);

// True if copies of the graph's weights, packed or quantized, are better made one at a time and again than all kept:
// from 256 MB on.
bool has_large_weights(const Graph& graph);
// How many of `workers` may each take copies of a layer's weights: one where those are large.
int weight_workers(const Graph& graph, int workers);

// Throws Error(kResource) if `workers` that each run all programs need more than --max-memory: weights as they lie in
// the model and as kernels pack them, once; arenas and inputs that are read ahead for each worker; and what `besides`
// says.
void require_memory_to_run(const std::vector<std::shared_ptr<const Program>>& programs, int workers,
                           const MemoryNeed& besides, std::string_view what);

}  // namespace amct

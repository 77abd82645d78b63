#include "workflow/memory_need.h"

#include <unordered_set>

namespace amct {
namespace {

constexpr uint64_t kLargeWeights = 256'000'000;
constexpr uint64_t kBatchesAhead = 3;  // samples that wait for a worker, or that it works on

void add_constants(const Graph& graph, std::unordered_set<const void*>& seen, uint64_t& bytes) {
  for (const ValueId id : graph.values()) {
    const Tensor& data = graph.value(id).data;
    if (data && seen.insert(data.identity()).second) bytes += data.byte_size();
  }
}

uint64_t input_bytes(const Program& program) {
  uint64_t bytes = 0;
  for (const ValueId id : program.graph().inputs()) {
    const TensorType& type = program.type(id);
    bytes += static_cast<uint64_t>(type.shape.element_count().value_or(0)) * element_bytes(type.dtype);
  }
  return bytes;
}

}  // namespace

uint64_t constant_bytes(const Graph& graph) {
  std::unordered_set<const void*> seen;
  uint64_t bytes = 0;
  add_constants(graph, seen, bytes);
  return bytes;
}

bool has_large_weights(const Graph& graph) { return constant_bytes(graph) >= kLargeWeights; }

int weight_workers(const Graph& graph, int workers) { return has_large_weights(graph) ? 1 : workers; }

void require_memory_to_run(const std::vector<std::shared_ptr<const Program>>& programs, int workers,
                           const MemoryNeed& besides, std::string_view what) {
  if (memory_limit() == 0 || programs.empty()) return;
  MemoryNeed need = besides;
  need.workers = workers;
  need.per_worker += kBatchesAhead * input_bytes(*programs.front());
  std::unordered_set<const void*> seen;
  for (const auto& program : programs) {
    add_constants(program->graph(), seen, need.shared);
    need.shared += constant_bytes(program->graph());  // packed
    need.per_worker += program->arena_bytes();
  }
  require_memory(need, what);
}

}  // namespace amct

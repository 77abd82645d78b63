// --max-memory: a job that is estimated to need more memory than it may take is refused before it takes any.
//
// The limit is the process's own, set once by the program. Estimates count what grows with the model and the data
// (weights, intermediates and samples of each worker, statistics), not the program itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace amct {

void set_memory_limit(uint64_t bytes);  // 0 = none
uint64_t memory_limit();

struct MemoryNeed {
  uint64_t shared = 0;      // weights, and what is kept once
  uint64_t per_worker = 0;  // intermediates, samples that wait, statistics
  int workers = 1;
  uint64_t total() const;  // saturates
};

// Throws Error(kResource) if the need is above the limit: one line with the estimate, its parts, and how many workers
// would fit. `what` is the job: "calibrating".
void require_memory(const MemoryNeed& need, std::string_view what);

// "500M", "2G", "1.5GB", "4096": bytes; K, M, G, T are powers of 1024. Throws Error(kConfig).
uint64_t parse_memory_size(std::string_view text);

std::string memory_text(uint64_t bytes);  // "1.9 GB"

}  // namespace amct

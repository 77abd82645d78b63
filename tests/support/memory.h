// Memory as the system sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

namespace amct::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kMemoryFactor = 16;  // sanitizers keep what is freed, and notes on every byte
#else
constexpr size_t kMemoryFactor = 1;
#endif

// Bytes of this process's own that are in memory.
inline size_t resident_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoull(line.substr(8)) << 10;
  }
  throw std::runtime_error("/proc/self/status says nothing of RssAnon");
}

// By how much `f` raises it.
template <typename F>
size_t memory_taken(F&& f) {
  const size_t before = resident_memory();
  f();
  const size_t after = resident_memory();
  return after > before ? (after - before) / kMemoryFactor : 0;
}

}  // namespace amct::testing

#include "base/memory_limit.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace amct {
namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr std::string_view kUnits = "KMGT";

std::atomic<uint64_t> limit{0};

uint64_t add(uint64_t a, uint64_t b) { return a > kMost - b ? kMost : a + b; }
uint64_t multiply(uint64_t a, uint64_t b) { return b != 0 && a > kMost / b ? kMost : a * b; }

}  // namespace

void set_memory_limit(uint64_t bytes) { limit = bytes; }
uint64_t memory_limit() { return limit; }

uint64_t MemoryNeed::total() const {
  return add(shared, multiply(per_worker, static_cast<uint64_t>(std::max(workers, 1))));
}

void require_memory(const MemoryNeed& need, std::string_view what) {
  const uint64_t most = limit;
  if (most == 0 || need.total() <= most) return;
  const uint64_t fitting = need.shared < most && need.per_worker > 0 ? (most - need.shared) / need.per_worker : 0;
  throw Error(
      ErrorCode::kResource,
      need.per_worker == 0
          ? fmt::format("{} needs about {}, --max-memory allows {}", what, memory_text(need.total()), memory_text(most))
          : fmt::format("{} needs about {}, {} and {} for each of {} workers; --max-memory allows {}", what,
                        memory_text(need.total()), memory_text(need.shared), memory_text(need.per_worker), need.workers,
                        memory_text(most)),
      {},
      fitting > 0 ? fmt::format("--threads {} would fit", fitting)
                  : fmt::format("allow {}", memory_text(add(need.shared, need.per_worker))));
}

uint64_t parse_memory_size(std::string_view text) {
  const auto wrong = [&] {
    return Error(ErrorCode::kConfig, fmt::format("--max-memory: '{}' is no size", text), {},
                 "write it as 500M, 2G or 1.5G");
  };
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number <= 0) throw wrong();
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit.size() > 1 && (unit.back() == 'B' || unit.back() == 'b')) unit.remove_suffix(1);
  double bytes = number;
  if (!unit.empty()) {
    const size_t power = kUnits.find(static_cast<char>(unit[0] & ~0x20));
    if (unit.size() != 1 || power == std::string_view::npos) throw wrong();
    bytes = std::ldexp(number, 10 * (static_cast<int>(power) + 1));
  }
  if (bytes < 1 || bytes >= std::ldexp(1.0, 63)) throw wrong();
  return static_cast<uint64_t>(bytes);
}

std::string memory_text(uint64_t bytes) {
  if (bytes == kMost) return "more than any machine has";
  double value = static_cast<double>(bytes);
  if (value < 1024) return fmt::format("{} bytes", bytes);
  size_t unit = 0;
  for (value /= 1024; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}B", value, value < 10 ? 1 : 0, kUnits[unit]);
}

}  // namespace amct

#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <fstream>
#include <limits>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace amct {
namespace {

namespace fs = std::filesystem;

int cores_in_mask() {
  for (int capacity = 1024; capacity <= (1 << 18); capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(capacity);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int cores = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(cores, 1);
  }
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

std::optional<int64_t> to_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<int> cores_of_quota(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  const int64_t cores = *quota / *period + (*quota % *period != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(cores, std::numeric_limits<int>::max()));
}

// The limit that one group folder states, in the form of version 2 ("max 100000") or of version 1.
std::optional<int> quota_in(const fs::path& folder) {
  std::istringstream both(first_line(folder / "cpu.max"));
  std::string quota, period;
  if (both >> quota >> period) return cores_of_quota(to_number(quota), to_number(period));
  return cores_of_quota(to_number(first_line(folder / "cpu.cfs_quota_us")),
                        to_number(first_line(folder / "cpu.cfs_period_us")));
}

// The group's folders from the process's own one to the top: every one of them limits.
std::optional<int> cores_of_groups(const fs::path& root) {
  std::optional<int> least;
  std::ifstream groups(root / "proc/self/cgroup");  // "0::/path" or "4:cpu,cpuacct:/path"
  std::string line;
  while (std::getline(groups, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && controllers.find("cpu") == std::string::npos) continue;
    const fs::path top = root / "sys/fs/cgroup" / controllers;
    fs::path group = fs::path(line.substr(second + 1)).relative_path().lexically_normal();
    while (true) {
      if (const auto cores = quota_in(top / group)) least = std::min(least.value_or(*cores), *cores);
      if (group.empty() || group == ".") break;
      group = group.parent_path();
    }
  }
  return least;
}

}  // namespace

int usable_cores(const fs::path& root) {
  const int cores = cores_in_mask();
  return std::max(1, std::min(cores, cores_of_groups(root).value_or(cores)));
}

void parallel_for(size_t count, int workers, const std::function<void(int worker, size_t index)>& fn) {
  std::atomic<size_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  size_t faulty = std::numeric_limits<size_t>::max();
  std::exception_ptr fault;
  const auto work = [&](int worker) {
    while (!stop.load(std::memory_order_relaxed)) {
      const size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      try {
        fn(worker, index);
      } catch (...) {
        const std::lock_guard lock(mutex);
        stop = true;
        if (index < faulty) {
          faulty = index;
          fault = std::current_exception();
        }
      }
    }
  };
  const auto threads = static_cast<int>(std::min<size_t>(count, static_cast<size_t>(std::max(workers, 1))));
  {
    std::vector<std::jthread> others;
    try {
      for (int worker = 1; worker < threads; ++worker) others.emplace_back(work, worker);
    } catch (const std::system_error&) {
      // No more threads are to be had: those that are there do all the work.
    }
    work(0);
  }
  if (fault) std::rethrow_exception(fault);
}

}  // namespace amct

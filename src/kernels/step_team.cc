#include "kernels/step_team.h"

#include <omp.h>

#include <array>
#include <atomic>
#include <limits>
#include <thread>

namespace amct {
namespace {

constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

// Gives the processor away now and then, in case the awaited thread wants it.
template <typename F>
void spin_until(F&& done) {
  for (unsigned round = 1; !done(); ++round) {
    if (round % 1024 == 0) {
      std::this_thread::yield();
    } else {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }
}

struct Team {
  const std::function<void(int64_t, int64_t)>& work;
  int64_t parts;
  std::atomic<int64_t> turn{0};                             // the current step, counted from 1
  std::atomic<int64_t> finished{0};                         // parts of all steps
  std::array<std::atomic<int64_t>, kMaxStepParts> taken{};  // the last turn in which somebody took the part

  // A thread that comes late finds the parts of its turn taken.
  void take_parts(int64_t now, int64_t first) {
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t part = (first + i) % parts;
      int64_t before = now - 1;
      if (!taken[static_cast<size_t>(part)].compare_exchange_strong(before, now)) continue;
      work(now - 1, part);
      finished.fetch_add(1);
    }
  }

  void lead(int64_t steps) {
    for (int64_t now = 1; now <= steps; ++now) {
      turn.store(now);
      take_parts(now, 0);
      spin_until([&] { return finished.load() == now * parts; });
    }
    turn.store(kEnd);
  }

  void follow(int64_t first) {
    for (int64_t last = 0;;) {
      int64_t now = last;
      spin_until([&] { return (now = turn.load()) != last; });
      if (now == kEnd) return;
      take_parts(now, first);
      last = now;
    }
  }
};

}  // namespace

void run_steps(int threads, int64_t steps, int64_t parts, const std::function<void(int64_t, int64_t)>& work) {
  if (threads <= 1 || parts <= 1) {
    for (int64_t step = 0; step < steps; ++step) {
      for (int64_t part = 0; part < parts; ++part) work(step, part);
    }
    return;
  }
  Team team{.work = work, .parts = parts};
#pragma omp parallel num_threads(threads)
  {
    const int member = omp_get_thread_num();
    if (member == 0) {
      team.lead(steps);
    } else {
      team.follow(parts * member / omp_get_num_threads());
    }
  }
}

}  // namespace amct

// A loop whose steps follow each other while the parts of one step are independent, on several threads.
//
// The calling thread leads: it takes parts like everyone else, begins the next step when all parts of one are done, and
// waits only for parts that somebody has begun. A barrier would wait for every thread at every step, which on a busy
// machine takes a scheduler's time slice each. Every thread tries the same parts first in all steps, so that what they
// read stays in its cache.
#pragma once

#include <cstdint>
#include <functional>

namespace amct {

inline constexpr int64_t kMaxStepParts = 64;

// Calls work(step, part) for all parts in [0, parts) of step 0, then of step 1, and so on; 1 <= parts <= kMaxStepParts.
// `work` must not throw.
void run_steps(int threads, int64_t steps, int64_t parts, const std::function<void(int64_t step, int64_t part)>& work);

}  // namespace amct

// Where the time of a run goes, for people and for a browser's trace viewer: what `amct run --profile` prints.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "exec/profile.h"

namespace amct {

// One line a step in the order of execution (milliseconds, share of all, GFLOP/s, GB/s, implementation, layout, output,
// nodes), then the sums by operator and implementation. Times are medians over the runs; a multiply-accumulate counts
// as two operations, and a byte once for each step that reads or writes it.
std::string profile_text(const Profile& profile);
nlohmann::ordered_json profile_json(const Profile& profile);

// Chrome's trace-event format: one complete event ("X") for each execution of a step, in microseconds since the first.
std::string profile_trace(const Profile& profile);

}  // namespace amct

#include "exec/profile.h"

#include <algorithm>

namespace amct {

size_t Profile::steps_of(const std::shared_ptr<const Program>& program) {
  const auto [at, is_new] = first_step_.try_emplace(program.get(), steps_.size());
  if (is_new) {
    programs_.push_back(program);
    std::vector<Program::StepInfo> steps = program->steps();
    std::move(steps.begin(), steps.end(), std::back_inserter(steps_));
  }
  return at->second;
}

std::vector<Profile::StepTime> Profile::step_times() const {
  std::vector<size_t> order;
  std::vector<std::vector<double>> seconds(steps_.size());  // by step: one entry a run that executed it
  std::vector<size_t> last_run(steps_.size(), runs());
  for (size_t run = 0; run < runs(); ++run) {
    const size_t end = run + 1 < runs() ? run_starts_[run + 1] : events_.size();
    for (size_t i = run_starts_[run]; i < end; ++i) {
      const Event& event = events_[i];
      if (seconds[event.step].empty()) order.push_back(event.step);
      if (last_run[event.step] != run) seconds[event.step].push_back(0);
      last_run[event.step] = run;
      seconds[event.step].back() += std::chrono::duration<double>(event.end - event.begin).count();
    }
  }
  std::vector<StepTime> times;
  for (const size_t step : order) {
    std::vector<double>& all = seconds[step];
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    times.push_back({step, all.size(), *middle});
  }
  return times;
}

}  // namespace amct

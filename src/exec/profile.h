// Profile: when each step of each run began and ended.
//
// A run that is given a profile takes the time around every step; one that is given none does nothing for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "exec/program.h"

namespace amct {

class Profile {
 public:
  using Clock = std::chrono::steady_clock;

  struct Event {
    size_t step;  // into `steps`
    Clock::time_point begin, end;
  };
  // One step over all runs.
  struct StepTime {
    size_t step;
    size_t runs = 0;            // runs that executed it
    double median_seconds = 0;  // of its executions in a run, added up
  };

  // One run, as long as it lives; runs within it are parts of it. `profile` may be null.
  class Run {
   public:
    explicit Run(Profile* profile) : profile_(profile) {
      if (profile_ != nullptr && profile_->depth_++ == 0) profile_->run_starts_.push_back(profile_->events_.size());
    }
    ~Run() {
      if (profile_ != nullptr) --profile_->depth_;
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

   private:
    Profile* profile_;
  };
  // Index of the first step of a compiled program; its others follow.
  size_t steps_of(const std::shared_ptr<const Program>& program);
  // Index of a node that runs without a program. `describe` is called the first time.
  template <typename F>
  size_t step_of(const Node& node, F&& describe) {
    const auto [at, is_new] = first_step_.try_emplace(&node, steps_.size());
    if (is_new) steps_.push_back(describe());
    return at->second;
  }
  void add(size_t step, Clock::time_point begin, Clock::time_point end) { events_.push_back({step, begin, end}); }

  const std::vector<Program::StepInfo>& steps() const { return steps_; }
  const std::vector<Event>& events() const { return events_; }
  size_t runs() const { return run_starts_.size(); }
  // Every executed step in the order of its first execution.
  std::vector<StepTime> step_times() const;

 private:
  std::vector<Program::StepInfo> steps_;
  std::vector<Event> events_;
  int depth_ = 0;
  std::vector<size_t> run_starts_;                        // indices of events
  std::unordered_map<const void*, size_t> first_step_;    // of a program or node
  std::vector<std::shared_ptr<const Program>> programs_;  // kept, so that no address is used twice
};

}  // namespace amct

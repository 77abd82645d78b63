// The gate of a calibration that is interrupted now and then to keep what it has: at a checkpoint no worker is inside a
// run, so that what they know is that of the first N runs, whole.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

#include "workflow/run_gate.h"

namespace amct {

class CheckpointGate : public RunGate {
 public:
  // `write` gets the number of runs that are done; not called by two threads at once. Checkpoints lie `seconds` apart
  // (0: one before each run) and behind a multiple of `granularity` runs.
  // `on_fail` may be null.
  using Write = std::function<void(size_t runs)>;
  using OnFail = std::function<void(std::exception_ptr)>;
  CheckpointGate(double seconds, size_t granularity, Write write, OnFail on_fail = {})
      : seconds_(seconds), granularity_(granularity), write_(std::move(write)), on_fail_(std::move(on_fail)) {}

  void enter() override;
  void leave() override;
  void fail(std::exception_ptr fault) override;

 private:
  using Clock = std::chrono::steady_clock;
  bool is_due() const;

  const double seconds_;
  const size_t granularity_;
  const Write write_;
  const OnFail on_fail_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point last_ = Clock::now();
  size_t entered_ = 0;  // runs that workers were let in for
  size_t written_ = 0;  // of them, those that the last checkpoint holds
  size_t inside_ = 0;
  bool writing_ = false;
  std::exception_ptr fault_;
};

}  // namespace amct

#include "workflow/checkpoint_gate.h"

namespace amct {

bool CheckpointGate::is_due() const {
  return entered_ > written_ && entered_ % granularity_ == 0 &&
         std::chrono::duration<double>(Clock::now() - last_).count() >= seconds_;
}

void CheckpointGate::enter() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return fault_ || !writing_; });
  if (fault_) std::rethrow_exception(fault_);
  if (is_due()) {
    writing_ = true;
    changed_.wait(lock, [&] { return fault_ || inside_ == 0; });
    if (fault_) std::rethrow_exception(fault_);
    write_(entered_);
    written_ = entered_;
    last_ = Clock::now();
    writing_ = false;
    changed_.notify_all();
  }
  ++inside_;
  ++entered_;
}

void CheckpointGate::leave() {
  const std::lock_guard lock(mutex_);
  --inside_;
  changed_.notify_all();
}

void CheckpointGate::fail(std::exception_ptr fault) {
  if (on_fail_) on_fail_(fault);
  const std::lock_guard lock(mutex_);
  if (!fault_) fault_ = std::move(fault);
  changed_.notify_all();
}

}  // namespace amct

// What stands before the workers of a sample run (sample_run.h), where they must not simply take samples as fast as
// they can: every worker passes it before each run. Its one use is to hold all of them at once, for a checkpoint
// (checkpoint_gate.h).
#pragma once

#include <exception>

namespace amct {

class RunGate {
 public:
  virtual ~RunGate() = default;
  virtual void enter() = 0;                         // a worker wants its next samples; may block, may throw
  virtual void leave() = 0;                         // it is done with them, or there were none left
  virtual void fail(std::exception_ptr fault) = 0;  // it has failed: nobody must wait for it
};

}  // namespace amct

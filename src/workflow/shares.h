// Processes that observe the other shares of a calibration while this one observes the first: `--workers N`. What they
// are and how they are started is the program's matter (cli/workers.h).
#pragma once

#include <filesystem>
#include <vector>

#include "base/progress.h"

namespace amct {

class OtherShares {
 public:
  virtual ~OtherShares() = default;
  virtual int count() const = 0;                         // of all shares, this process's among them
  virtual int threads() const = 0;                       // of this process while the others run
  virtual bool is_running() const = 0;                   // between `start` and `wait`
  virtual std::filesystem::path known_file() const = 0;  // where `start` may be told to look
  // Starts them. `known`: the part with what all must know before; empty = nothing.
  virtual void start(const std::filesystem::path& known) = 0;
  virtual bool has_failed() const = 0;  // one of them; may be asked from any thread
  // Waits for their end and returns their parts. Throws Error if one has failed, in its words.
  virtual std::vector<std::filesystem::path> wait() = 0;
  virtual Progress& progress() = 0;  // of all shares; while they run
};

}  // namespace amct

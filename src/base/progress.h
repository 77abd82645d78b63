// How far a long job is: a bar with rate and time left on a terminal, a plain line every few seconds elsewhere, nothing
// at all for jobs that end within two seconds or under LogLevel::kQuiet. Always on standard error.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace amct {

class Progress {
 public:
  using Clock = std::chrono::steady_clock;
  struct Output {
    std::FILE* file = stderr;
    std::function<bool()> is_terminal;       // default: asks the file
    std::function<Clock::time_point()> now;  // default: the steady clock
  };

  // `what` is the activity ("calibrating"), `unit` what is counted ("images"); `total` 0 = not known.
  Progress(std::string what, size_t total, std::string unit = "samples");
  Progress(std::string what, size_t total, std::string unit, Output output);
  ~Progress();  // takes the bar away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void expect(size_t count);       // so many more in all
  void advance(size_t count = 1);  // both may be called from several threads
  double seconds() const;          // since the start
  // What another process reports (report_progress_in_lines) counts here; false for a line that is no such report.
  bool take_line(std::string_view line);

 private:
  std::string line(double elapsed) const;
  void show(Clock::time_point now);

  const std::string what_;
  const std::string unit_;
  size_t total_;
  Output output_;
  bool terminal_ = false;
  Clock::time_point start_;
  Clock::time_point last_shown_;
  std::mutex mutex_;
  size_t done_ = 0;
  bool visible_ = false;
};

// For a process that works for another one: progress goes to standard error in lines that Progress::take_line reads.
void report_progress_in_lines();

// "4 s", "3 min 05 s", "2 h 10 min".
std::string duration_text(double seconds);

}  // namespace amct

#include "base/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/log.h"

namespace amct {
namespace {

constexpr double kWorthShowing = 2.0;  // seconds that a job must take, so far or as projected
constexpr double kFirstLook = 0.5;     // a projection is not trusted earlier
constexpr double kTerminalInterval = 0.1;
constexpr double kPlainInterval = 5.0;
constexpr int kBarWidth = 24;

constexpr std::string_view kTotalLine = "\x1ftotal ";
// In two literals, because "\x1fd" is one (too large) escape.
constexpr std::string_view kDoneLine =
    "\x1f"
    "done ";

std::atomic<bool> in_lines{false};

double between(Progress::Clock::time_point from, Progress::Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::lround(std::clamp(seconds, 0.0, 1e9)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

Progress::Progress(std::string what, size_t total, std::string unit)
    : Progress(std::move(what), total, std::move(unit), Output{}) {}

Progress::Progress(std::string what, size_t total, std::string unit, Output output)
    : what_(std::move(what)), unit_(std::move(unit)), total_(total), output_(std::move(output)) {
  if (!output_.now) output_.now = [] { return Clock::now(); };
  terminal_ = output_.is_terminal ? output_.is_terminal() : ::isatty(::fileno(output_.file)) != 0;
  start_ = output_.now();
  last_shown_ = start_;
  if (in_lines) fmt::print(output_.file, "{}{}\n", kTotalLine, total_);
}

void report_progress_in_lines() { in_lines = true; }

Progress::~Progress() {
  if (visible_ && terminal_) {
    std::fputs("\r\x1b[K", output_.file);
    std::fflush(output_.file);
  }
}

double Progress::seconds() const { return between(start_, output_.now()); }

void Progress::advance(size_t count) {
  const std::lock_guard lock(mutex_);
  done_ += count;
  if (in_lines) return fmt::print(output_.file, "{}{}\n", kDoneLine, count);
  if (log_level() == LogLevel::kQuiet) return;
  const auto now = output_.now();
  const double elapsed = between(start_, now);
  if (!visible_) {
    const bool finished = total_ != 0 && done_ >= total_;
    if (elapsed < kFirstLook || finished) return;
    const double projected =
        total_ == 0 ? elapsed : elapsed * static_cast<double>(total_) / static_cast<double>(std::max<size_t>(done_, 1));
    if (std::max(projected, elapsed) < kWorthShowing) return;
    if (!terminal_ && elapsed < kWorthShowing) return;
  } else if (between(last_shown_, now) < (terminal_ ? kTerminalInterval : kPlainInterval)) {
    return;
  }
  show(now);
}

bool Progress::take_line(std::string_view line) {
  const bool is_total = line.starts_with(kTotalLine);
  if (!is_total && !line.starts_with(kDoneLine)) return false;
  size_t count = 0;
  line.remove_prefix((is_total ? kTotalLine : kDoneLine).size());
  std::from_chars(line.data(), line.data() + line.size(), count);
  if (!is_total) {
    advance(count);
    return true;
  }
  expect(count);
  return true;
}

void Progress::expect(size_t count) {
  const std::lock_guard lock(mutex_);
  total_ += count;
}

void Progress::show(Clock::time_point now) {
  visible_ = true;
  last_shown_ = now;
  const std::string text = line(between(start_, now));
  std::fputs((terminal_ ? "\r" + text + "\x1b[K" : text + "\n").c_str(), output_.file);
  std::fflush(output_.file);
}

std::string Progress::line(double elapsed) const {
  const double rate = static_cast<double>(done_) / std::max(elapsed, 1e-9);
  const std::string speed = fmt::format("{:.{}f} {}/s", rate, rate < 10 ? 1 : 0, unit_);
  if (total_ == 0) return fmt::format("{} {} {}, {}", what_, done_, unit_, speed);
  const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const double left = static_cast<double>(total_ - std::min(done_, total_)) / std::max(rate, 1e-9);
  const std::string numbers =
      fmt::format("{}/{} {:.0f}%, {}, {} left", done_, total_, 100 * share, speed, duration_text(left));
  if (!terminal_) return fmt::format("{} {}", what_, numbers);
  const int full = static_cast<int>(share * kBarWidth);
  return fmt::format("{} [{}{}] {}", what_, std::string(static_cast<size_t>(full), '#'),
                     std::string(static_cast<size_t>(kBarWidth - full), '-'), numbers);
}

}  // namespace amct

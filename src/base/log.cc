#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>

namespace amct {
namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};

void say(LogLevel level, std::string_view prefix, std::string_view message) {
  if (current_level.load(std::memory_order_relaxed) < level) return;
  // A progress bar may stand on the terminal's line: take it away, it is drawn again.
  const std::string line = fmt::format("{}{}{}\n", ::isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "", prefix, message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }

void log_warning(std::string_view message) { say(LogLevel::kWarning, "warning: ", message); }
void log_info(std::string_view message) { say(LogLevel::kInfo, "", message); }
void log_debug(std::string_view message) { say(LogLevel::kDebug, "", message); }

}  // namespace amct

#include "base/log.h"

#include <fmt/format.h>

#include <atomic>
#include <cstdio>

namespace amct {
namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};

void say(LogLevel level, std::string_view prefix, std::string_view message) {
  if (current_level.load(std::memory_order_relaxed) < level) return;
  const std::string line = fmt::format("{}{}\n", prefix, message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }

void log_warning(std::string_view message) { say(LogLevel::kWarning, "warning: ", message); }
void log_info(std::string_view message) { say(LogLevel::kInfo, "", message); }
void log_debug(std::string_view message) { say(LogLevel::kDebug, "", message); }

}  // namespace amct

#include "base/log.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>

#include "base/error.h"

namespace amct {
namespace {

constexpr mode_t kLogFileMode = 0640;

std::atomic<LogLevel> current_level{LogLevel::kInfo};

class LogFile {
 public:
  void open(const std::filesystem::path& path, LogLevel level) {
    std::error_code error;
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    const int fd = error ? -1 : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kLogFileMode);
    if (fd < 0) {
      const int code = error ? error.value() : errno;
      throw Error(ErrorCode::kResource, fmt::format("cannot write {}: {}", path.string(), std::strerror(code)), {},
                  "check the path and its permissions");
    }
    const std::lock_guard lock(mutex_);
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    level_ = level;
  }

  // A log that cannot be written does not end the work that it tells of.
  void write(LogLevel level, const char* name, std::string_view message) {
    const std::lock_guard lock(mutex_);
    if (fd_ < 0 || level_ < level) return;
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    char stamp[sizeof "2000-01-01 00:00:00"] = "";
    std::strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local);
    const std::string line = fmt::format("{} - {} - {}\n", stamp, name, message);
    [[maybe_unused]] const ssize_t written = ::write(fd_, line.data(), line.size());
  }

 private:
  std::mutex mutex_;
  int fd_ = -1;
  LogLevel level_ = LogLevel::kInfo;
};

LogFile& log_file() {
  static LogFile file;
  return file;
}

void say(LogLevel level, std::string_view prefix, std::string_view message) {
  if (current_level.load(std::memory_order_relaxed) < level) return;
  // A progress bar may stand on the terminal's line: take it away, it is drawn again.
  const std::string line = fmt::format("{}{}{}\n", ::isatty(STDERR_FILENO) != 0 ? "\r\x1b[K" : "", prefix, message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }

void log_error(std::string_view message) {
  say(LogLevel::kQuiet, "error: ", message);
  log_file().write(LogLevel::kQuiet, "ERROR", message);
}

void log_warning(std::string_view message) {
  say(LogLevel::kWarning, "warning: ", message);
  log_file().write(LogLevel::kWarning, "WARNING", message);
}

void log_info(std::string_view message) {
  say(LogLevel::kInfo, "", message);
  log_file().write(LogLevel::kInfo, "INFO", message);
}

void log_debug(std::string_view message) {
  say(LogLevel::kDebug, "", message);
  log_file().write(LogLevel::kDebug, "DEBUG", message);
}

void open_log_file(const std::filesystem::path& path, LogLevel level) { log_file().open(path, level); }
void log_to_file(std::string_view message) { log_file().write(LogLevel::kInfo, "INFO", message); }

}  // namespace amct

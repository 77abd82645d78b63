// What the program says to people while it works: one line a message, on standard error.
#pragma once

#include <string_view>

namespace amct {

enum class LogLevel { kQuiet, kWarning, kInfo, kDebug };

void set_log_level(LogLevel level);
LogLevel log_level();

void log_warning(std::string_view message);  // printed as "warning: …"
void log_info(std::string_view message);
void log_debug(std::string_view message);  // only with -v

}  // namespace amct

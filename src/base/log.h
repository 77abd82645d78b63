// What the program says to people while it works: one line a message, on standard error and, if asked for, in a file.
#pragma once

#include <filesystem>
#include <string_view>

namespace amct {

enum class LogLevel { kQuiet, kWarning, kInfo, kDebug };

void set_log_level(LogLevel level);
LogLevel log_level();

void log_warning(std::string_view message);  // printed as "warning: …"
void log_info(std::string_view message);
void log_debug(std::string_view message);  // only with -v
void log_error(std::string_view message);  // printed as "error: …", whatever the level

// From now on messages up to `level` are also added to the end of this file, each line with its time. The folder is
// made if it is missing. Throws Error(kResource).
void open_log_file(const std::filesystem::path& path, LogLevel level);
void log_to_file(std::string_view message);  // to the file alone, as information

}  // namespace amct

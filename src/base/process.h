// A child process and one channel to it. Started without fork (posix_spawn), so that it may be used whatever threads
// run.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace amct {

// As a shell takes it for one word.
std::string shell_quoted(const std::string& text);

class ChildProcess {
 public:
  // Starts `command`, whose first word is looked up in PATH. Descriptor `channel` of the child is the other end of what
  // send_line and receive_line use; 1 takes its standard output, any other leaves that to go to our standard error.
  // Throws Error(kInput) when there is no such program.
  ChildProcess(const std::vector<std::string>& command, int channel);
  ~ChildProcess();  // closes the channel; a child that still runs two seconds later is killed
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // False when the child has closed the channel.
  bool send_line(std::string_view line);
  // Without the line's end; nullopt when the child has closed the channel. Throws Error(kInput) for a line over 1 MB.
  std::optional<std::string> receive_line();

  // Waits for its end. Its exit status, or 128 + the signal that ended it.
  int wait();

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
  std::string received_;
};

}  // namespace amct

#include "cli/workers.h"

#include <fmt/core.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/memory_limit.h"
#include "base/process.h"

namespace amct {
namespace {

namespace fs = std::filesystem;

constexpr int kErrors = 2;  // descriptor that a worker reports on
constexpr int kSignals = 128;
constexpr std::string_view kFirstRound = "part", kSecondRound = "second";  // how files of parts begin

// Options with values as the user gave them.
void pass_on(const CLI::App& from, const CLI::App& to, const std::vector<std::string>& own,
             std::vector<std::string>& arguments) {
  for (const CLI::Option* option : from.get_options()) {
    const std::string name = option->get_name();
    const bool is_kept = std::find(own.begin(), own.end(), name) != own.end();
    if (option->count() == 0 || is_kept || !name.starts_with("--") || to.get_option_no_throw(name) == nullptr) continue;
    for (const std::string& value : option->results()) arguments.push_back(name + "=" + value);
  }
}

}  // namespace

Workers::Workers(const CLI::App& command, const GlobalOptions& global, const QuantizeRequest& request, int count)
    : folder_(request.out_prefix),
      count_(count),
      threads_(std::max(count, global.worker_count())),
      threads_of_others_(threads_ / count),
      memory_(memory_limit()) {
  folder_ += "_workers";
  std::error_code ignored;
  new_folders_ = {folder_};
  for (fs::path above = folder_.parent_path(); !above.empty() && !fs::exists(above, ignored);
       above = above.parent_path()) {
    new_folders_.push_back(above);
  }
  arguments_ = {"/proc/self/exe", "--report-progress", "--quiet", fmt::format("--threads={}", threads_of_others_)};
  if (memory_ > 0) arguments_.push_back(fmt::format("--max-memory={}", memory_ / static_cast<uint64_t>(count)));
  const CLI::App& program = *command.get_parent();
  pass_on(program, program, {"--threads", "--quiet", "--verbose", "--json", "--max-memory", "--version", "--help"},
          arguments_);
  arguments_.push_back("calibrate");
  arguments_.push_back(request.model.string());
  pass_on(command, *program.get_subcommand("calibrate"), {"--out", "--calibration", "--help"}, arguments_);
}

// What a worker that was ended left half-written goes too (base/files.h: ".part1of2.cal.XXXXXX").
Workers::~Workers() {
  stop_ = true;
  end();
  std::error_code ignored;
  std::vector<fs::path> made{known_file()};  // by this run, or one before that was interrupted
  for (const std::string_view round : {kFirstRound, kSecondRound}) {
    for (fs::path& part : parts_of(round)) made.push_back(std::move(part));
  }
  const auto is_ours = [&](const fs::path& path) {
    const std::string name = path.filename().string();
    return std::ranges::any_of(made, [&](const fs::path& part) {
      const std::string own = part.filename().string();
      return name.starts_with(own) || name.starts_with("." + own + ".");
    });
  };
  std::vector<fs::path> left;
  for (fs::directory_iterator at(folder_, ignored), end; !ignored && at != end; at.increment(ignored)) {
    if (is_ours(at->path())) left.push_back(at->path());
  }
  for (const fs::path& path : left) fs::remove(path, ignored);
  for (const fs::path& folder : new_folders_) fs::remove(folder, ignored);  // only if it is empty
}

// One worker until it ends, or until another one has failed.
void Workers::watch(const std::vector<std::string>& command, Failure& failure) {
  try {
    ChildProcess child(command, kErrors);
    while (const auto line = child.receive_line()) {
      if (stop_) return;  // which ends it
      if (!progress_->take_line(*line) && !line->empty()) failure.lines.push_back(*line);
    }
    failure.status = child.wait();
  } catch (const Error& error) {
    failure = {exit_code(error.code()), {error.what()}};
  }
  if (failure.status != 0 && stop_.exchange(true)) failure.status = 0;  // another one failed before
}

std::vector<fs::path> Workers::parts_of(std::string_view round) const {
  std::vector<fs::path> parts;
  for (int i = 2; i <= count_; ++i) parts.push_back(folder_ / fmt::format("{}{}of{}.cal", round, i, count_));
  return parts;
}

void Workers::start(const fs::path& known) {
  parts_ = parts_of(known.empty() ? kFirstRound : kSecondRound);
  set_memory_limit(memory_ / static_cast<uint64_t>(count_));
  progress_.emplace("calibrating", 0);
  failures_.assign(parts_.size(), {});
  for (size_t i = 0; i < parts_.size(); ++i) {
    std::vector<std::string> command = arguments_;
    if (!known.empty()) command.push_back("--calibration=" + known.string());
    command.push_back(fmt::format("--shard={}/{}", i + 2, count_));
    command.push_back("--out=" + parts_[i].string());
    watchers_.emplace_back([this, i, command] { watch(command, failures_[i]); });
  }
}

std::vector<fs::path> Workers::wait() {
  end();
  for (size_t i = 0; i < failures_.size(); ++i) {
    if (failures_[i].status != 0) throw_failure(static_cast<int>(i) + 2, failures_[i]);
  }
  progress_.reset();
  set_memory_limit(memory_);
  return parts_;
}

void Workers::end() {
  for (std::thread& watcher : watchers_) watcher.join();
  watchers_.clear();
}

void Workers::throw_failure(int number, Failure failure) {
  constexpr std::string_view kPrefix = "error: ";
  if (failure.status > kSignals) {
    failure.lines = {fmt::format("signal {} ended it; is the memory too small?", failure.status - kSignals)};
  } else if (failure.lines.empty()) {
    failure.lines = {fmt::format("it ended with status {}", failure.status)};
  }
  const ErrorCode code = failure.status == exit_code(ErrorCode::kUnsupported) ? ErrorCode::kUnsupported
                         : failure.status == exit_code(ErrorCode::kInternal)  ? ErrorCode::kInternal
                                                                              : ErrorCode::kInput;
  Faults faults;
  for (const std::string& line : failure.lines) {
    const bool is_error = line.starts_with(kPrefix);
    faults.add(Error(code, fmt::format("worker {}: {}", number, is_error ? line.substr(kPrefix.size()) : line)));
  }
  faults.throw_if_any();
}

}  // namespace amct

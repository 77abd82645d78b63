#include "cli/workers.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/memory_limit.h"
#include "base/process.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "workflow/calibration_part.h"

namespace amct {
namespace {

namespace fs = std::filesystem;

constexpr int kErrors = 2;  // descriptor that a worker reports on
constexpr int kSignals = 128;

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

// How a worker failed; nothing if all went well.
struct Failure {
  int status = 0;
  std::vector<std::string> lines;
};

// One worker until it ends, or until another one has failed (`stop`).
Failure watch(ChildProcess& child, Progress& progress, std::atomic<bool>& stop) {
  Failure failure;
  while (const auto line = child.receive_line()) {
    if (stop) return {};
    if (!progress.take_line(*line) && !line->empty()) failure.lines.push_back(*line);
  }
  failure.status = child.wait();
  return failure.status == 0 || stop.exchange(true) ? Failure{} : failure;
}

void throw_failure(int worker, Failure failure) {
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
    faults.add(Error(code, fmt::format("worker {}: {}", worker, is_error ? line.substr(kPrefix.size()) : line)));
  }
  faults.throw_if_any();
}

}  // namespace

Workers::Workers(const CLI::App& command, const GlobalOptions& global, const QuantizeRequest& request, int count)
    : folder_(request.out_prefix), count_(count) {
  folder_ += "_workers";
  std::error_code ignored;
  new_folders_ = {folder_};
  for (fs::path above = folder_.parent_path(); !above.empty() && !fs::exists(above, ignored);
       above = above.parent_path()) {
    new_folders_.push_back(above);
  }
  arguments_ = {"/proc/self/exe", "--report-progress", "--quiet",
                fmt::format("--threads={}", std::max(1, global.worker_count() / count))};
  if (memory_limit() > 0)
    arguments_.push_back(fmt::format("--max-memory={}", memory_limit() / static_cast<uint64_t>(count)));
  const CLI::App& program = *command.get_parent();
  pass_on(program, program, {"--threads", "--quiet", "--verbose", "--json", "--max-memory", "--version", "--help"},
          arguments_);
  arguments_.push_back("calibrate");
  arguments_.push_back(request.model.string());
  pass_on(command, *program.get_subcommand("calibrate"), {"--out", "--calibration", "--help"}, arguments_);
}

// What a worker that was ended left half-written goes too (base/files.h: ".part1of2.cal.XXXXXX").
Workers::~Workers() {
  std::error_code ignored;
  const auto is_ours = [&](const fs::path& path) {
    const std::string name = path.filename().string();
    return std::ranges::any_of(made_, [&](const fs::path& part) {
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

std::vector<fs::path> Workers::run() {
  std::vector<fs::path> parts = round("part", {});
  const bool is_first = read_part(parts.front()).stage == CalibrationPart::Stage::kMaxima;
  return is_first ? round("balanced", parts) : parts;
}

std::vector<fs::path> Workers::round(const std::string& name, const std::vector<fs::path>& before) {
  std::vector<fs::path> parts;
  for (int i = 1; i <= count_; ++i) parts.push_back(folder_ / fmt::format("{}{}of{}.cal", name, i, count_));
  made_.insert(made_.end(), parts.begin(), parts.end());
  Progress progress("calibrating", 0);
  std::atomic<bool> stop{false};
  std::vector<Failure> failures(parts.size());
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<std::string> command = arguments_;
    for (const fs::path& part : before) command.push_back("--calibration=" + part.string());
    command.push_back(fmt::format("--shard={}/{}", i + 1, count_));
    command.push_back("--out=" + parts[i].string());
    children.push_back(std::make_unique<ChildProcess>(command, kErrors));
  }
  parallel_for(parts.size(), count_, [&](int, size_t i) {
    failures[i] = watch(*children[i], progress, stop);
    children[i].reset();  // ends it, if it still runs
  });
  for (size_t i = 0; i < failures.size(); ++i) {
    if (failures[i].status != 0) throw_failure(static_cast<int>(i) + 1, failures[i]);
  }
  return parts;
}

}  // namespace amct

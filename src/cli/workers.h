// `amct quantize --workers N`: processes of this program that run `amct calibrate`, each with its share of the samples;
// the first share is this process's own.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cli/command.h"
#include "workflow/quantize.h"

namespace amct {

class Workers : public OtherShares {
 public:
  // `command` is `quantize` with the options that the user gave: those that `calibrate` has too go on to the workers.
  // The parts lie in the folder PREFIX_workers.
  Workers(const CLI::App& command, const GlobalOptions& global, const QuantizeRequest& request, int count);
  ~Workers() override;  // ends those that run and removes the parts
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const override { return count_; }
  int threads() const override { return threads_ - (count_ - 1) * threads_of_others_; }
  bool is_running() const override { return progress_.has_value(); }
  std::filesystem::path known_file() const override { return folder_ / "known.cal"; }
  void start(const std::filesystem::path& known) override;
  bool has_failed() const override { return stop_; }
  // Throws Error with the message of the first worker that fails; the others are ended.
  std::vector<std::filesystem::path> wait() override;
  Progress& progress() override { return *progress_; }

 private:
  // How a worker failed; nothing if all went well.
  struct Failure {
    int status = 0;
    std::vector<std::string> lines;
  };

  void watch(const std::vector<std::string>& command, Failure& failure);
  void end();
  std::vector<std::filesystem::path> parts_of(std::string_view round) const;
  static void throw_failure(int number, Failure failure);

  std::vector<std::string> arguments_;  // that all workers have
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> new_folders_;  // that were not there before, the inmost first
  int count_;
  int threads_, threads_of_others_;  // in all, of each worker
  uint64_t memory_;                  // limit of all; 0 = none
  std::optional<Progress> progress_;
  std::atomic<bool> stop_{false};
  std::vector<std::filesystem::path> parts_;  // of the round that runs, and what becomes of it
  std::vector<Failure> failures_;
  std::vector<std::thread> watchers_;
};

}  // namespace amct

// `amct quantize --workers N`: N processes of this program that run `amct calibrate`, each with its share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/command.h"
#include "workflow/quantize.h"

namespace amct {

class Workers {
 public:
  // `command` is `quantize` with the options that the user gave: those that `calibrate` has too go on to the workers.
  // The parts lie in the folder PREFIX_workers.
  Workers(const CLI::App& command, const GlobalOptions& global, const QuantizeRequest& request, int count);
  ~Workers();  // removes the parts

  // Returns the parts. Throws Error with the message of the first worker that fails; the others are ended.
  std::vector<std::filesystem::path> run();

 private:
  std::vector<std::filesystem::path> round(const std::string& name, const std::vector<std::filesystem::path>& before);

  std::vector<std::string> arguments_;  // that all workers have
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> new_folders_;  // that were not there before, the inmost first
  int count_;
  std::vector<std::filesystem::path> made_;
};

}  // namespace amct

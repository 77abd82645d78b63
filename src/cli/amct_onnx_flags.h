// The values of AMCT's flags: what they may hold and how they go together (spec F.1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/source.h"

namespace amct {

struct AmctOnnxFlags {
  std::filesystem::path model, save_path, calibration_config;
  std::optional<std::string> input_shape, data_dir, data_types, evaluator;
  std::optional<int64_t> batch_num;
};

// All faults of the flags together: ErrorList of Error(kConfig). Without an evaluator the three data flags hold as many
// values each; the result has them with their folders.
DataOptions check_flags(const AmctOnnxFlags& flags);

// Throws Error(kConfig) when it names a folder alone.
void check_save_path(const std::filesystem::path& path);

// Samples in one batch: the first extent of the first input, which follows from its first file where it is -1.
// Throws Error(kInput) when the folder holds fewer than `batches` of them.
int64_t samples_in_batch(const DataOptions& data, int64_t batches);

// The command that compiles the deploy model for Ascend processors (spec E.5); `compressible` weights are non-uniform.
std::string atc_command(const AmctOnnxFlags& flags, bool compressible);

}  // namespace amct

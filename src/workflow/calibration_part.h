// A part of a calibration: what some of its samples have taught (docs/formats/calibration-part.md). Parts of all
// samples merge, in any order, to what one process would have learned, bit for bit. A checkpoint is the part of the
// samples that an unfinished calibration has seen.
//
// In the file: "AMCTCAL\n", version and length (8 bytes each), contents (base/byte_stream.h), the FNV-1a hash of all
// before it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/sample_range.h"
#include "exec/channel_max.h"
#include "workflow/choice.h"
#include "workflow/observed_tensors.h"
#include "workflow/ordered_bins.h"

namespace amct {

// To be raised with the layout, and with everything that changes what is counted or computed.
constexpr uint64_t kCalibrationVersion = 3;

// What parts that belong together agree on, but for the instruction set.
struct CalibrationIdentity {
  std::string model;          // file name, for messages
  uint64_t model_hash = 0;    // of the graph as it was read, constants included
  std::string settings;       // one a line
  std::string data;           // how files become samples, one setting a line
  uint64_t names_hash = 0;    // of all samples' names
  uint64_t content_hash = 0;  // of the first and the last sample, as the network sees them
  int64_t asked = 0;          // samples that were asked for
  int64_t samples = 0;        // that there are
  int64_t rows = 1;           // samples in one run of the model; not in the file
  std::string isa;            // instruction set that computed the activations
};

struct TensorPart {
  TensorStatistics statistics;
  TensorBins ordered;  // in checkpoints
};

struct CalibrationPart {
  enum class Kind { kPart, kCheckpoint };
  // Activation balance needs the largest magnitudes over all samples before anything else can be observed, and what is
  // searched for (choice.h) is to be known.
  enum class Stage { kPreliminary, kDistributions };

  Kind kind = Kind::kPart;
  Stage stage = Stage::kDistributions;
  CalibrationIdentity identity;
  Shard shard;
  SampleRange taken;
  std::map<std::string, ChannelMax> maxima;   // by tensor; of stage kDistributions those over all samples
  std::optional<Choice> choice;               // once it is made
  std::map<std::string, TensorPart> tensors;  // by name; empty in stage kPreliminary
  std::vector<std::string> instruction_sets;  // that the parts were computed with, where they differ; not in the file
};

std::string format_part(const CalibrationPart& part);
// Throws Error(kInput) naming `file`: cut off, damaged, of another version, or senseless.
CalibrationPart parse_part(std::span<const std::byte> bytes, const std::string& file);

void write_part(const CalibrationPart& part, const std::filesystem::path& path);  // atomically
CalibrationPart read_part(const std::filesystem::path& path);

// What `part` says that contradicts `mine`, a clause ("it is of another model ('a.onnx') than b.onnx"); "" if nothing
// does. The instruction set is left out.
std::string other_model(const CalibrationIdentity& part, const CalibrationIdentity& mine, const std::string& whose);
std::string other_data(const CalibrationIdentity& part, const CalibrationIdentity& mine, const std::string& whose);

// Reads and merges parts that are all samples exactly once, made for the model and with the settings of `mine`. Throws
// ErrorList of Error(kInput) with all that are missing, double, damaged or foreign, by name. Warns of parts from
// different instruction sets.
CalibrationPart merge_parts(const std::vector<std::filesystem::path>& paths, const CalibrationIdentity& mine);
// Likewise with the share that this process has observed, for what the others are told to be of: they are its own.
CalibrationPart merge_parts(const std::vector<std::filesystem::path>& paths, CalibrationPart own);

}  // namespace amct

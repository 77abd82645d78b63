// Post-training quantization: a trained model and some samples in, INT8 models out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "amct/error.h"

namespace amct {
inline namespace v1 {

struct QuantizeOptions {
  std::string data;                // folder or file with samples (docs/formats/data.md)
  std::string out_prefix;          // "out/model" gives out/model_qdq.onnx and so on
  std::string preprocess;          // what happens to images: "imagenet", "resize=256,crop=224,…"; empty = nothing
  std::string labels;              // file with class indices: accuracy is measured before and after; empty = not
  std::string config;              // settings: a plan, or AMCT's .cfg or JSON; empty = defaults
  std::optional<int64_t> samples;  // to calibrate with; not set = as `config` says, else 64
  int threads = 0;                 // 0 = all cores that the process may use
  std::vector<std::string> skip;   // layers that stay float
  bool fake_quant = true;          // write the simulation that any ONNX runtime runs
  bool deploy = true;              // write the model for Ascend processors
  bool qdq = true;                 // write the model for ONNX Runtime
  // All parts that write_calibration made with the same options: they take the place of the data, which is then needed
  // only to measure the result.
  std::vector<std::string> calibration;
  bool resume = false;  // go on from the checkpoint of an interrupted run (out_prefix + ".checkpoint"), if it is there
};

struct QuantizeReport {
  struct Layer {
    std::string name;
    std::string reason;
  };
  struct File {
    std::string path;
    uint64_t bytes = 0;
    std::string purpose;
  };
  int64_t samples = 0;  // that were used
  size_t layers = 0;    // with weights or otherwise worth quantizing
  size_t quantized = 0;
  std::vector<Layer> kept_float;                  // the others, and why
  std::optional<double> top1_before, top1_after;  // percent, with labels
  // Not set where nothing was measured, for want of data.
  std::optional<double> sqnr_db;             // of the outputs, against the float model
  std::optional<double> same_class_percent;  // samples whose top class stays the same; of classifiers only
  double seconds = 0;
  std::vector<std::string> warnings;
  std::vector<std::string> downgrades;  // settings that a layer cannot have, and what it has instead
  std::vector<File> files;
  std::string summary;  // all of it for people
};

// Throws Error; then no file was written.
AMCT_API QuantizeReport quantize(const std::string& model, const QuantizeOptions& options);

// One of `count` shares of the samples (`number` from 1 on), observed and written to the file options.out_prefix, for
// QuantizeOptions::calibration together with all others: several processes or machines calibrate side by side. Returns
// true where the configuration asks for activation balance, which takes two rounds: the parts of all shares are then
// the `calibration` of the second one. Throws Error.
AMCT_API bool write_calibration(const std::string& model, const QuantizeOptions& options, int number, int count);

}  // namespace v1
}  // namespace amct

// What a user's own code says of a model: a command that prints a number, or a Python class as AMCT's tools take it
// (spec F.1), which feeds the calibration too.
//
//   class MyEvaluator(Evaluator):
//     def calibration(self, model_file)                 runs the model with onnxruntime.InferenceSession on its samples
//     def evaluate(self, model_file) -> number          e.g. the accuracy
//     def metric_eval(self, original, new) -> (bool, loss)
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "recipe/evaluator_messages.h"

namespace amct {

struct Verdict {
  double original = 0, quantized = 0;  // what `evaluate` said of either model
  std::optional<bool> satisfied;       // of metric_eval; a command judges nothing
  std::optional<double> loss;
};

class Evaluator {
 public:
  virtual ~Evaluator() = default;
  // The metric of a model file. Throws Error(kInput) that says what went wrong in the user's code.
  virtual double evaluate(const std::filesystem::path& model) = 0;
  virtual Verdict judge(double original, double quantized) = 0;
};

// Runs `command` in a shell with {model} replaced by the quoted path; the last line of its output is the metric. Throws
// Error(kConfig) for a command without {model}.
std::unique_ptr<Evaluator> command_evaluator(const std::string& command);

// One instance of the class in `file`, in a python3 of its own.
class PythonEvaluator : public Evaluator {
 public:
  // Throws Error(kInput) when the file cannot be loaded or has not one class with the three methods.
  explicit PythonEvaluator(std::filesystem::path file);

  // Calls calibration() and keeps what it feeds the model as .npz files in `folder`, one for each call of
  // InferenceSession.run. Returns the samples of each, by the first extent of the model's first input.
  std::vector<int64_t> calibrate(const std::filesystem::path& model, const std::filesystem::path& folder);

  double evaluate(const std::filesystem::path& model) override;
  Verdict judge(double original, double quantized) override;

 private:
  EvaluatorReply ask(const std::string& request);

  std::filesystem::path file_;
  ChildProcess python_;
};

// A new folder in $TMPDIR (/var/tmp by default) that goes with its object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace amct

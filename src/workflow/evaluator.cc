#include "workflow/evaluator.h"

#include <fmt/core.h>
#include <stdlib.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "recipe/evaluator_messages.h"

namespace amct {
namespace {

constexpr const char* kDriver =
#include "workflow/evaluator_driver.inc"
    ;

constexpr int kChannel = 3;
constexpr std::string_view kPlace = "{model}";

class CommandEvaluator : public Evaluator {
 public:
  explicit CommandEvaluator(std::string command) : command_(std::move(command)) {
    if (command_.find(kPlace) != std::string::npos) return;
    throw Error(ErrorCode::kConfig, fmt::format("--evaluate-with: '{}' does not say where the model goes", command_),
                {}, "write {model} for its path: 'python3 accuracy.py {model}'");
  }

  double evaluate(const std::filesystem::path& model) override {
    std::string command = command_;
    const std::string path = shell_quoted(model.string());
    for (size_t at = command.find(kPlace); at != std::string::npos; at = command.find(kPlace, at + path.size())) {
      command.replace(at, kPlace.size(), path);
    }
    ChildProcess shell({"sh", "-c", command}, 1);
    std::string last;
    while (auto line = shell.receive_line()) {
      if (line->find_first_not_of(" \t\r") != std::string::npos) last = std::move(*line);
    }
    const int status = shell.wait();
    if (status != 0) throw failure(fmt::format("it ended with status {}", status), model);
    return metric(last, model);
  }

  Verdict judge(double original, double quantized) override { return {.original = original, .quantized = quantized}; }

 private:
  Error failure(const std::string& what, const std::filesystem::path& model) const {
    return Error(ErrorCode::kInput, fmt::format("--evaluate-with '{}': {}", command_, what), {.model = model.string()},
                 "it must print the metric as a number on its last line and end with 0");
  }

  double metric(const std::string& line, const std::filesystem::path& model) const {
    const size_t begin = std::min(line.find_first_not_of(" \t"), line.size());
    const size_t end = line.find_last_not_of(" \t\r") + 1;
    double value = 0;
    const auto [stop, error] = std::from_chars(line.data() + begin, line.data() + end, value);
    if (error == std::errc() && stop == line.data() + end && std::isfinite(value)) return value;
    throw failure(line.empty() ? "it printed nothing" : fmt::format("its last line, '{}', is no number", line), model);
  }

  std::string command_;
};

}  // namespace

std::unique_ptr<Evaluator> command_evaluator(const std::string& command) {
  return std::make_unique<CommandEvaluator>(command);
}

PythonEvaluator::PythonEvaluator(std::filesystem::path file)
    : file_(std::move(file)), python_({"python3", "-u", "-c", kDriver, file_.string()}, kChannel) {
  ask("");
}

std::vector<int64_t> PythonEvaluator::calibrate(const std::filesystem::path& model,
                                                const std::filesystem::path& folder) {
  return ask(calibration_request(model, folder)).rows;
}

double PythonEvaluator::evaluate(const std::filesystem::path& model) { return ask(evaluate_request(model)).metric; }

Verdict PythonEvaluator::judge(double original, double quantized) {
  const EvaluatorReply reply = ask(judge_request(original, quantized));
  return {.original = original, .quantized = quantized, .satisfied = reply.satisfied, .loss = reply.loss};
}

// The answer to a request; to none, that the class was made.
EvaluatorReply PythonEvaluator::ask(const std::string& request) {
  std::optional<std::string> line;
  if (request.empty() || python_.send_line(request)) line = python_.receive_line();
  const Where where{.file = file_.string()};
  if (!line) throw Error(ErrorCode::kInput, "the evaluator's python3 ended without an answer", where);
  EvaluatorReply reply = parse_evaluator_reply(*line);
  if (reply.error.empty()) return reply;
  throw Error(ErrorCode::kInput, "the evaluator failed with " + reply.error,
              {.file = file_.string(), .line = reply.line});
}

ScratchFolder::ScratchFolder() {
  const char* chosen = std::getenv("TMPDIR");
  std::string name = (chosen != nullptr && *chosen != 0 ? std::string(chosen) : "/var/tmp") + "/amct.XXXXXX";
  if (mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::kResource, "no folder for temporary files can be made", {.file = name},
                "set TMPDIR to a folder with free space");
  }
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace amct

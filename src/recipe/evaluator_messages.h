// The lines that amct and the Python side of an evaluator exchange: one JSON object each
// (workflow/evaluator.h, workflow/evaluator_driver.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace amct {

std::string calibration_request(const std::filesystem::path& model, const std::filesystem::path& folder);
std::string evaluate_request(const std::filesystem::path& model);
std::string judge_request(double original, double quantized);

struct EvaluatorReply {
  std::string error;  // what went wrong in the user's code, and where; the rest has no meaning then
  int line = 0;
  std::vector<int64_t> rows;  // samples in each run of a calibration
  double metric = 0;          // of an evaluation
  bool satisfied = false;     // of a judgement
  double loss = 0;
};
// Throws Error(kInternal) for anything but such an object.
EvaluatorReply parse_evaluator_reply(std::string_view line);

}  // namespace amct

#include "recipe/evaluator_messages.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace amct {
namespace {

using Json = nlohmann::json;

}  // namespace

std::string calibration_request(const std::filesystem::path& model, const std::filesystem::path& folder) {
  return Json{{"do", "calibration"}, {"model", model.string()}, {"folder", folder.string()}}.dump();
}

std::string evaluate_request(const std::filesystem::path& model) {
  return Json{{"do", "evaluate"}, {"model", model.string()}}.dump();
}

std::string judge_request(double original, double quantized) {
  return Json{{"do", "metric_eval"}, {"original", original}, {"quantized", quantized}}.dump();
}

EvaluatorReply parse_evaluator_reply(std::string_view line) {
  try {
    const Json json = Json::parse(line);
    return {.error = json.value("error", ""),
            .line = json.value("line", 0),
            .rows = json.value("rows", std::vector<int64_t>{}),
            .metric = json.value("metric", 0.0),
            .satisfied = json.value("satisfied", false),
            .loss = json.value("loss", 0.0)};
  } catch (const Json::exception&) {
    throw Error(ErrorCode::kInternal,
                "the evaluator's Python side sent no reply that can be read: " + std::string(line));
  }
}

}  // namespace amct

// `amct quantize`: simplify, fuse, calibrate, quantize, export, summarise.
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "cli/quantize_arguments.h"
#include "cli/workers.h"
#include "workflow/quantize.h"

namespace amct {
namespace {

struct Arguments {
  QuantizeArguments quantize;
  std::string evaluate_with;  // a command; empty = none
  int workers = 1;
};

nlohmann::ordered_json to_json(const Accuracy& accuracy) {
  return {{"top1", accuracy.top1}, {"top5", accuracy.top5}, {"samples", accuracy.samples}};
}

nlohmann::ordered_json to_json(const Verdict& verdict) {
  using Json = nlohmann::ordered_json;
  return {{"original", verdict.original},
          {"quantized", verdict.quantized},
          {"satisfied", verdict.satisfied ? Json(*verdict.satisfied) : Json(nullptr)},
          {"loss", verdict.loss ? Json(*verdict.loss) : Json(nullptr)}};
}

nlohmann::ordered_json to_json(const NuqOutcome& nuq) {
  return {{"metric", nuq.metric},         {"uniform", nuq.uniform},   {"mixed", nuq.mixed},
          {"candidates", nuq.candidates}, {"reverted", nuq.reverted}, {"evaluations", nuq.evaluations}};
}

nlohmann::ordered_json strengths_of(const QuantizeReport& report) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [layer, strength] : report.balance_strengths) {
    json[layer] = strength ? nlohmann::ordered_json(*strength) : nlohmann::ordered_json(nullptr);
  }
  return json;
}

nlohmann::ordered_json to_json(const QuantizeReport& report) {
  using Json = nlohmann::ordered_json;
  const auto decibels = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  Json kept = Json::array();
  for (const auto& [layer, reason] : report.kept_float) kept.push_back({{"layer", layer}, {"reason", reason}});
  Json passes = Json::object();
  for (const auto& [pass, changes] : report.simplifications) passes[pass] = changes;
  Json weakest = Json::array();
  for (const LayerSqnr& layer : report.weakest) {
    weakest.push_back({{"layer", layer.layer}, {"sqnr_db", decibels(layer.sqnr_db)}});
  }
  Json files = Json::array();
  for (const OutputFile& file : report.files) {
    files.push_back({{"path", file.path.string()}, {"bytes", file.bytes}, {"purpose", file.purpose}});
  }
  return {{"model", report.model},
          {"samples", report.samples},
          {"nodes_before", report.nodes_before},
          {"nodes_after", report.nodes_after},
          {"passes", std::move(passes)},
          {"layers", report.layers},
          {"quantized", report.quantized},
          {"format", report.format},
          {"kept_float", std::move(kept)},
          {"accuracy_before", report.before ? to_json(*report.before) : Json(nullptr)},
          {"accuracy_after", report.after ? to_json(*report.after) : Json(nullptr)},
          {"evaluator", report.verdict ? to_json(*report.verdict) : Json(nullptr)},
          {"rewritten", report.rewritten},
          {"nuq", report.nuq ? to_json(*report.nuq) : Json(nullptr)},
          {"shifted", {{"layers", report.shifted}, {"least", report.least_shift}, {"largest", report.largest_shift}}},
          {"inputs", report.inputs},
          {"joint_groups", report.groups},
          {"balanced",
           {{"layers", report.balanced}, {"folded", report.balance_folded}, {"strengths", strengths_of(report)}}},
          {"non_uniform",
           {{"layers", report.clustered}, {"bytes", report.clustered_bytes}, {"coded_bytes", report.coded_bytes}}},
          {"sqnr_db", report.compared ? decibels(report.sqnr_db) : Json(nullptr)},
          {"same_class", report.same_class_percent ? Json(*report.same_class_percent) : Json(nullptr)},
          {"weakest", std::move(weakest)},
          {"warnings", report.warnings},
          {"downgrades", report.downgrades},
          {"files", std::move(files)},
          {"seconds",
           {{"read", report.read_seconds},
            {"prepare", report.prepare_seconds},
            {"compile", report.compile_seconds},
            {"calibrate", report.calibrate_seconds},
            {"search", report.search_seconds},
            {"write", report.write_seconds},
            {"total", report.total_seconds}}}};
}

void check_data(const QuantizeRequest& job, int workers) {
  if (job.parts.empty() && job.data.empty() && !job.weight_only) {
    throw Error(ErrorCode::kConfig, "--data is required", {},
                "or --calibration with parts, or --weight-only; see 'amct quantize --help'");
  }
  if (!job.parts.empty() && workers > 1) {
    throw Error(ErrorCode::kConfig, "--workers has no meaning with --calibration", {},
                "the parts hold what workers would find out");
  }
  if (!job.labels.empty() && job.data.empty()) {
    throw Error(ErrorCode::kConfig, "--labels needs --data", {}, "accuracy is measured on the data");
  }
}

}  // namespace

void print_report(const QuantizeReport& report, const GlobalOptions& global) {
  if (global.json) return print_json(to_json(report));
  print(to_summary(report));
}

void add_quantize_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("quantize", "Turn a trained model and sample data into INT8 models");
  command->footer(
      "Example:\n  amct quantize model.onnx --data val/ --labels val/labels.txt --preprocess imagenet --out "
      "out/model\n");
  auto arguments = std::make_shared<Arguments>();
  QuantizeRequest& request = arguments->quantize.request;
  arguments->quantize.add_to(*command, false);
  command->add_option("--out", request.out_prefix, "prefix of the output files; missing folders are created")
      ->required();
  command->add_flag("--shift", request.shift,
                    "search the shift N of each channel for hardware that cuts sums to 16 bits (SearchN)");
  command->add_option("--evaluate-with", arguments->evaluate_with,
                      "command that prints the metric of a model: 'python3 accuracy.py {model}'; it is run for the "
                      "original and for the quantized model");
  command->add_option("--calibration", request.parts,
                      "all parts that 'amct calibrate' wrote with the same options: they take the place of the data, "
                      "which is then needed only to measure the result");
  command->add_option("--workers", arguments->workers, "processes that share the samples (and --threads)")
      ->check(CLI::PositiveNumber);
  command->add_flag("--weight-only", request.weight_only,
                    "quantize weights and leave activations float, without samples: --weight-bits 4 or 8, "
                    "--weight-group; the deploy model has no such form");
  add_checkpoint_options(*command, request);
  command->callback([command, arguments, &global] {
    QuantizeRequest job = arguments->quantize.to_request(global);
    check_data(job, arguments->workers);
    const auto workers =
        arguments->workers > 1 ? std::make_unique<Workers>(*command, global, job, arguments->workers) : nullptr;
    job.others = workers.get();
    const auto evaluator = arguments->evaluate_with.empty() ? nullptr : command_evaluator(arguments->evaluate_with);
    QuantizeReport report = evaluator ? quantize(job, *evaluator) : quantize(job);
    report.program = global.program;
    if (!job.data.empty()) report.data_arguments = arguments->quantize.data.as_typed();
    print_report(report, global);
  });
}

}  // namespace amct

// `amct convert`: writes quantized models from a trained model and the factors of a record file, or from a model that
// was quantized elsewhere.
#include <fmt/core.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/convert_report.h"
#include "workflow/convert_qat.h"

namespace amct {
namespace {

struct Arguments {
  ConvertRequest request;
  std::vector<std::string> emit;
  std::string convention = "int8";
};

nlohmann::ordered_json to_json(const ConvertReport& report) {
  using Json = nlohmann::ordered_json;
  Json kept = Json::array(), files = Json::array(), warnings = report.warnings;
  for (const auto& [layer, reason] : report.kept_float) kept.push_back({{"layer", layer}, {"reason", reason}});
  for (const OutputFile& file : report.files) {
    files.push_back({{"path", file.path.string()}, {"bytes", file.bytes}, {"purpose", file.purpose}});
  }
  return {{"layers", report.layers},       {"quantized", report.quantized},   {"anti_quantized", report.anti_quantized},
          {"kept_float", std::move(kept)}, {"warnings", std::move(warnings)}, {"files", std::move(files)}};
}

ConvertReport run(const Arguments& arguments) {
  ConvertRequest job = arguments.request;
  if (!arguments.emit.empty()) job.emit = parse_emit(arguments.emit);
  if (arguments.convention == "uint8") job.convention = RecordConvention::kUInt8;
  if (!job.record.empty()) return convert(job);
  ConvertQatRequest quantized{.model = job.model, .out_prefix = job.out_prefix};
  if (!arguments.emit.empty()) quantized.emit = job.emit;
  return convert_qat(quantized);
}

}  // namespace

std::string to_text(const ConvertReport& report) {
  std::string text = fmt::format("quantized  {} of {} layers\n", report.quantized, report.layers);
  for (const auto& [layer, reason] : report.kept_float) text += fmt::format("float      {}: {}\n", layer, reason);
  if (report.anti_quantized > 0) {
    text += fmt::format("{:<11}{} pairs besides: AscendQuant and AscendAntiQuant\n", "pairs", report.anti_quantized);
  }
  for (const std::string& warning : report.warnings) text += fmt::format("warning    {}\n", warning);
  for (const OutputFile& file : report.files)
    text += fmt::format("wrote      {}  {}\n", file.path.string(), file.purpose);
  return text;
}

void print_report(const ConvertReport& report, const GlobalOptions& global) {
  if (global.json) return print_json(to_json(report));
  print(to_text(report));
}

void add_convert_command(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command =
      app.add_subcommand("convert", "Write quantized models from known factors or from a quantized model");
  command->footer(
      "Example:\n  amct convert model.onnx --record factors.txt --out out/model\n"
      "  amct convert trained_qdq.onnx --out out/model\n");
  auto arguments = std::make_shared<Arguments>();
  ConvertRequest& request = arguments->request;
  command->add_option("model", request.model, "the float model; without --record one with QuantizeLinear")->required();
  CLI::Option* record =
      command->add_option("--record", request.record, "the factors: a record file (docs/formats/record.md)");
  command->add_option("--out", request.out_prefix, "prefix of the output files; missing folders are created")
      ->required();
  command
      ->add_option("--emit", arguments->emit,
                   "files to write: fake, deploy, qdq (default: all; without --record fake, deploy)")
      ->delimiter(',')
      ->check(CLI::IsMember({"fake", "deploy", "qdq"}));
  command->add_option("--qdq-target", request.qdq_target, "runtime that the qdq file is made for")
      ->check(CLI::IsMember(qdq_target_names()))
      ->capture_default_str()
      ->needs(record);
  command
      ->add_option("--record-convention", arguments->convention,
                   "how offsets are meant: int8, or uint8 as AMCT's first TensorFlow release wrote them")
      ->check(CLI::IsMember({"int8", "uint8"}))
      ->needs(record);
  command->callback([arguments, &global] { print_report(run(*arguments), global); });
}

}  // namespace amct

// `amct quantize`: simplify, fuse, calibrate, quantize, export, summarise.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/command.h"
#include "recipe/amct_config/option_table.h"
#include "workflow/quantize.h"

namespace amct {
namespace {

struct Arguments {
  QuantizeRequest request;
  DataArguments data;
  std::vector<std::string> emit;
  std::string calibrate_weights;
  bool keep_bias = false;
  std::string search;         // a method; empty = the default
  std::string balance;        // a number; empty = not asked for
  std::string evaluate_with;  // a command; empty = none
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
          {"inputs", report.inputs},
          {"joint_groups", report.groups},
          {"balanced", {{"layers", report.balanced}, {"folded", report.balance_folded}}},
          {"non_uniform",
           {{"layers", report.clustered}, {"bytes", report.clustered_bytes}, {"coded_bytes", report.coded_bytes}}},
          {"sqnr_db", decibels(report.sqnr_db)},
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

// Empty if the text is a size that groups of weights may have.
std::string weight_group_fault(const std::string& text) {
  int size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  const bool fits =
      error == std::errc() && end == text.data() + text.size() && size > 0 && size % kLeastWeightGroup == 0;
  return fits ? "" : fmt::format("'{}' must be {} or a multiple of it", text, kLeastWeightGroup);
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
  QuantizeRequest& request = arguments->request;
  command->add_option("model", request.model, "the model file")->required();
  arguments->data.add_to(*command);
  command->add_option("--out", request.out_prefix, "prefix of the output files; missing folders are created")
      ->required();
  command->add_option("--labels", request.labels,
                      "labels of the data: accuracy before and after is measured on all of it");
  command->add_option("--config", request.config,
                      "settings: a plan (PREFIX_plan.json of an earlier run, edited), or AMCT's .cfg or JSON");
  std::set<std::string> methods;
  for (const auto& [method, name] : clip_methods()) methods.insert(name);
  command
      ->add_option("--search", arguments->search,
                   "how the ranges of activations are chosen (default: ifmr); not with --config")
      ->check(CLI::IsMember(methods));
  const auto meaning_of = [](std::string_view message, std::string_view field) {
    return std::string(config::field(message, field).meaning);
  };
  const auto meaning = [&](std::string_view field) { return meaning_of("AMCTConfig", field); };
  command->add_option("--skip", request.skip, meaning("skip_layers"))->delimiter(',');
  command->add_option("--skip-types", request.skip_types, meaning("skip_layer_types"))->delimiter(',');
  command->add_option("--weight-bits", request.weight_bits, meaning_of("ARQuantize", "quant_bits"))
      ->check(CLI::IsMember({4, 6, 7, 8}));
  command->add_option("--activation-bits", request.activation_bits, "of all layers with a weight; the others have 8")
      ->check(CLI::IsMember({8, 16}));
  command
      ->add_option("--weight-group", request.weight_group,
                   "inputs of Gemm and MatMul that share a weight scale: 32, 64, 96, …; the deploy model has no such "
                   "form and is left out")
      ->check(CLI::Validator(weight_group_fault, "UINT"));
  command->add_option("--emit", arguments->emit, "files to write: fake, deploy, qdq (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"fake", "deploy", "qdq"}));
  command->add_option("--qdq-target", request.qdq_target, "runtime that the qdq file is made for")
      ->check(CLI::IsMember(qdq_target_names()))
      ->capture_default_str();
  command
      ->add_option("--calibrate-weights", arguments->calibrate_weights,
                   "weights while activations are observed: quantized (as AMCT does) or float")
      ->check(CLI::IsMember({"quantized", "float"}));
  command
      ->add_flag("--balance{0.5}", arguments->balance,
                 std::string(config::field("DMQBalancer", "migration_strength").meaning))
      ->check(CLI::Range(0.2, 0.8));
  command->add_flag("--joint", request.joint, meaning("joint_quant"));
  command->add_flag(
      "--no-bias-correction", arguments->keep_bias,
      "leave the biases as they are (AMCT's way); by default the mean error of rounded weights is taken off");
  command->add_option("--evaluate-with", arguments->evaluate_with,
                      "command that prints the metric of a model: 'python3 accuracy.py {model}'; it is run for the "
                      "original and for the quantized model");
  command->add_flag("--strict", request.strict, "a setting that a layer cannot have is an error, not a downgrade");
  command->add_flag("--check", request.check, "verify the graph and its numbers after every pass");
  command->callback([arguments, &global] {
    QuantizeRequest job = arguments->request;
    job.data = arguments->data.data;
    job.data_options = arguments->data.options();
    job.samples = arguments->data.samples;
    job.batch = arguments->data.batch;
    job.workers = global.worker_count();
    job.emit = parse_emit(arguments->emit);
    if (!arguments->calibrate_weights.empty()) {
      job.calibrate_with_quantized_weights = arguments->calibrate_weights == "quantized";
    }
    if (arguments->keep_bias) job.correct_bias = false;
    if (!arguments->search.empty()) job.search = clip_method(arguments->search);
    if (!arguments->balance.empty()) job.balance = std::stod(arguments->balance);
    const auto evaluator = arguments->evaluate_with.empty() ? nullptr : command_evaluator(arguments->evaluate_with);
    QuantizeReport report = evaluator ? quantize(job, *evaluator) : quantize(job);
    report.program = global.program;
    report.data_arguments = arguments->data.as_typed();
    print_report(report, global);
  });
}

}  // namespace amct

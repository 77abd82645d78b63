#include "cli/quantize_arguments.h"

#include <fmt/core.h>

#include <charconv>
#include <set>

#include "recipe/amct_config/option_table.h"

namespace amct {

namespace {

// Empty if the text is a size that groups of weights may have.
std::string weight_group_fault(const std::string& text) {
  int size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  const bool fits =
      error == std::errc() && end == text.data() + text.size() && size > 0 && size % kLeastWeightGroup == 0;
  return fits ? "" : fmt::format("'{}' must be {} or a multiple of it", text, kLeastWeightGroup);
}

}  // namespace

void QuantizeArguments::add_to(CLI::App& command, bool data_required) {
  command.add_option("model", request.model, "the model file")->required();
  data.add_to(command, data_required);
  command.add_option("--config", request.config,
                     "settings: a plan (PREFIX_plan.json of an earlier run, edited), or AMCT's .cfg or JSON");
  std::set<std::string> methods;
  for (const auto& [method, name] : clip_methods()) methods.insert(name);
  command.add_option("--search", search, "how the ranges of activations are chosen (default: ifmr); not with --config")
      ->check(CLI::IsMember(methods));
  const auto meaning_of = [](std::string_view message, std::string_view field) {
    return std::string(config::field(message, field).meaning);
  };
  const auto meaning = [&](std::string_view field) { return meaning_of("AMCTConfig", field); };
  command.add_option("--skip", request.skip, meaning("skip_layers"))->delimiter(',');
  command.add_option("--skip-types", request.skip_types, meaning("skip_layer_types"))->delimiter(',');
  command.add_option("--weight-bits", request.weight_bits, meaning_of("ARQuantize", "quant_bits"))
      ->check(CLI::IsMember({4, 6, 7, 8}));
  command
      .add_option("--activation-bits", request.activation_bits,
                  "of all layers with a weight, 4 of those with 4-bit weights; the others have 8")
      ->check(CLI::IsMember({4, 8, 16}));
  command
      .add_option("--weight-group", request.weight_group,
                  "inputs of Gemm and MatMul that share a weight scale: 32, 64, 96, …; the deploy model has no such "
                  "form and is left out")
      ->check(CLI::Validator(weight_group_fault, "UINT"));
  command.add_option("--emit", emit, "files to write: fake, deploy, qdq (default: all)")
      ->delimiter(',')
      ->check(CLI::IsMember({"fake", "deploy", "qdq"}));
  command.add_option("--qdq-target", request.qdq_target, "runtime that the qdq file is made for")
      ->check(CLI::IsMember(qdq_target_names()))
      ->capture_default_str();
  command
      .add_option("--calibrate-weights", calibrate_weights,
                  "weights while activations are observed: quantized (as AMCT does) or float")
      ->check(CLI::IsMember({"quantized", "float"}));
  command
      .add_flag("--balance{0.5}", balance,
                meaning_of("DMQBalancer", "migration_strength") + "; search: what suits each layer best")
      ->check([](const std::string& text) { return text == "search" ? std::string() : CLI::Range(0.2, 0.8)(text); });
  command.add_option("--nuq", request.nuq_steps, "non-uniform weights: " + meaning_of("NUQuantize", "num_steps"))
      ->check(CLI::IsMember({16, 32}));
  command.add_flag("--nuq-weighted", request.nuq_weighted,
                   "choose those values by the mean squares of what the weights multiply, of 64 samples");
  command
      .add_option("--nuq-loss", request.nuq_loss,
                  "keep uniform weights where others would cost the network more than this, in points of top-1 (with "
                  "--labels) or dB, in trials that are calibrated on 64 samples")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--labels", request.labels,
                     "labels of the data: accuracy before and after is measured on all of it");
  command.add_flag("--joint", request.joint, meaning("joint_quant"));
  command.add_flag(
      "--no-bias-correction", keep_bias,
      "leave the biases as they are (AMCT's way); by default the mean error of rounded weights is taken off");
  command.add_flag("--strict", request.strict, "a setting that a layer cannot have is an error, not a downgrade");
  command.add_flag("--check", request.check, "verify the graph and its numbers after every pass");
}

QuantizeRequest QuantizeArguments::to_request(const GlobalOptions& global) const {
  QuantizeRequest job = request;
  job.data = data.data;
  job.data_options = data.options();
  job.samples = data.samples;
  job.batch = data.batch;
  job.workers = global.worker_count();
  job.emit = parse_emit(emit);
  if (!calibrate_weights.empty()) job.calibrate_with_quantized_weights = calibrate_weights == "quantized";
  if (!search.empty()) job.search = clip_method(search);
  if (keep_bias) job.correct_bias = false;
  if (balance == "search") {
    job.search_balance = true;
  } else if (!balance.empty()) {
    job.balance = std::stod(balance);
  }
  return job;
}

}  // namespace amct

#include "recipe/amct_config/option_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace amct::config {
namespace {

using enum FieldType;

constexpr double kWeightBits[] = {4, 6, 7, 8};
constexpr double kSteps[] = {16, 32};
constexpr double kBins[] = {1024, 2048, 4096, 8192};
constexpr std::string_view kPrecisionModes[] = {"FORCE_FP16_QUANT"};
constexpr std::string_view kActivationTypes[] = {"INT8", "INT16"};
const Legal kPercentile{.low = 0.5, .high = 1, .above_low = true};
const Legal kUnit{.low = 0, .high = 1, .above_low = true, .below_high = true};
const Legal kPositive{.low = 0, .above_low = true};

Message model_message() {
  return {
      "AMCTConfig",
      "What a file holds. Settings of a layer come from `override_layer_configs`, else `override_layer_types`, else "
      "`common_config`; each is taken whole, what it leaves out has the defaults of this page",
      {{.name = "batch_num",
        .type = kUInt,
        .meaning = "calibration batches: so many times `--batch` samples",
        .fallback = "1",
        .legal = {.low = 1},
        .json = "batch_num",
        .option = "--samples"},
       {.name = "activation_offset",
        .type = kBool,
        .meaning = "asymmetric activations, where a layer does not say otherwise",
        .fallback = "true",
        .json = "activation_offset"},
       {.name = "joint_quant",
        .type = kBool,
        .meaning = "the inputs of element-wise additions share one scale",
        .fallback = "false",
        .json = "joint_quant"},
       {.name = "weight_offset",
        .type = kBool,
        .meaning = "must be false: weights are symmetric",
        .fallback = "false",
        .json = "weight_offset"},
       {.name = "skip_layers",
        .type = kString,
        .meaning = "layers that stay float",
        .repeated = true,
        .option = "--skip"},
       {.name = "skip_layer_types",
        .type = kString,
        .meaning = "operators whose layers stay float",
        .repeated = true,
        .option = "--skip-types"},
       {.name = "skip_approximation_layers",
        .type = kString,
        .meaning = "Softmax layers that are not approximated; they stay as they are in any case",
        .repeated = true},
       {.name = "fakequant_precision_mode",
        .type = kEnum,
        .meaning = "dequantization factors are reduced to ten bits of mantissa, as the hardware does",
        .names = kPrecisionModes,
        .json = "fakequant_precision_mode"},
       {.name = "nuq_config", .type = kMessage, .meaning = "non-uniform weights", .message = "NuqConfig"},
       {.name = "common_config", .type = kMessage, .meaning = "settings of all layers", .message = "CalibrationConfig"},
       {.name = "override_layer_types",
        .type = kMessage,
        .meaning = "settings of all layers of one operator",
        .message = "OverrideLayerType",
        .repeated = true},
       {.name = "override_layer_configs",
        .type = kMessage,
        .meaning = "settings of one layer",
        .message = "OverrideLayer",
        .repeated = true},
       {.name = "do_fusion",
        .type = kBool,
        .meaning = "batch norms are folded into the layers before them",
        .fallback = "true",
        .json = "do_fusion"},
       {.name = "skip_fusion_layers",
        .type = kString,
        .meaning = "layers that no batch norm is folded into",
        .repeated = true,
        .json = "skip_fusion_layers"},
       {.name = "tensor_quantize",
        .type = kMessage,
        .meaning = "further tensors that are quantized",
        .message = "TensorQuantize",
        .repeated = true,
        .json = "tensor_quantize"},
       {.name = "conv_calibration_config",
        .type = kMessage,
        .meaning = "older form: settings of convolutions, where neither common nor type settings are given",
        .message = "CalibrationConfig"},
       {.name = "fc_calibration_config",
        .type = kMessage,
        .meaning = "older form: settings of the layers that have one weight scale; may not set channel_wise",
        .message = "CalibrationConfig"}}};
}

Message calibration_message() {
  return {"CalibrationConfig",
          "How a layer is quantized: one algorithm for its weights, one for its activation, and perhaps a balancer",
          {{.name = "arq_quantize",
            .type = kMessage,
            .meaning = "weights: range by absolute maximum",
            .message = "ARQuantize",
            .choice = "weights"},
           {.name = "ada_quantize",
            .type = kMessage,
            .meaning = "weights: learned rounding",
            .message = "ADAquantize",
            .choice = "weights"},
           {.name = "nuq_quantize",
            .type = kMessage,
            .meaning = "weights: few distinct values",
            .message = "NUQuantize",
            .choice = "weights"},
           {.name = "ifmr_quantize",
            .type = kMessage,
            .meaning = "activation: range by search of the least loss",
            .message = "FMRQuantize",
            .choice = "activations"},
           {.name = "hfmg_quantize",
            .type = kMessage,
            .meaning = "activation: range by search over a histogram",
            .message = "HFMGQuantize",
            .choice = "activations"},
           {.name = "dmq_balancer",
            .type = kMessage,
            .meaning = "moves the spread of the channels from the activation into the weights",
            .message = "DMQBalancer",
            .choice = "balancer"}}};
}

std::vector<Message> weight_messages() {
  return {{"ARQuantize",
           "Weights by absolute maximum",
           {{.name = "channel_wise",
             .type = kBool,
             .meaning = "one scale per output channel; default: for convolutions, the only layers that may have it",
             .json = "weight_quant_params.channel_wise"},
            {.name = "quant_bits",
             .type = kUInt,
             .meaning = "6 and 7 for two-dimensional convolutions only; 4 not for "
                        "grouped convolutions and odd numbers of input channels",
             .fallback = "8",
             .legal = {.one_of = kWeightBits},
             .json = "weight_quant_params.num_bits"}}},
          {"ADAquantize",
           "Weights by learned rounding",
           {{.name = "num_iteration",
             .type = kUInt,
             .meaning = "training steps of a layer",
             .fallback = "10000",
             .legal = {.low = 0},
             .json = "weight_quant_params.num_iteration"},
            {.name = "reg_param",
             .type = kFloat,
             .meaning = "weight of the regularization",
             .fallback = "0.01",
             .legal = kUnit,
             .json = "weight_quant_params.reg_param"},
            {.name = "beta_range_start",
             .type = kFloat,
             .meaning = "exponent at first; above beta_range_end",
             .fallback = "20",
             .legal = kPositive,
             .json = "weight_quant_params.beta_range"},
            {.name = "beta_range_end",
             .type = kFloat,
             .meaning = "exponent at last",
             .fallback = "2",
             .legal = kPositive,
             .json = "weight_quant_params.beta_range"},
            {.name = "warm_start",
             .type = kFloat,
             .meaning = "share of the steps without regularization",
             .fallback = "0.2",
             .legal = kUnit,
             .json = "weight_quant_params.warm_start"},
            {.name = "channel_wise",
             .type = kBool,
             .meaning = "as of ARQuantize",
             .json = "weight_quant_params.channel_wise"}}},
          {"NUQuantize",
           "Weights of few distinct values",
           {{.name = "num_steps",
             .type = kUInt,
             .meaning = "how many values",
             .fallback = "32",
             .legal = {.one_of = kSteps},
             .json = "weight_quant_params.num_steps"},
            {.name = "num_of_iteration",
             .type = kUInt,
             .meaning = "accepted for the sake of existing files: the optimum is found without iterating",
             .fallback = "1",
             .legal = {.low = 0, .high = 5},
             .json = "weight_quant_params.num_of_iteration"}}}};
}

std::vector<Message> activation_messages() {
  constexpr Field asymmetric{.name = "asymmetric",
                             .type = kBool,
                             .meaning = "default: as `activation_offset` says",
                             .json = "activation_quant_params.asymmetric"};
  constexpr Field type{.name = "dst_type",
                       .type = kEnum,
                       .meaning = "INT16 for layers with a weight only",
                       .fallback = "INT8",
                       .names = kActivationTypes,
                       .json = "activation_quant_params.num_bits"};
  return {{"FMRQuantize",
           "Activations by search of the least loss",
           {{.name = "search_range_start",
             .type = kFloat,
             .meaning = "least candidate, in ranges",
             .fallback = "0.7",
             .legal = kPositive,
             .json = "activation_quant_params.search_range"},
            {.name = "search_range_end",
             .type = kFloat,
             .meaning = "largest candidate; above search_range_start",
             .fallback = "1.3",
             .legal = kPositive,
             .json = "activation_quant_params.search_range"},
            {.name = "search_step",
             .type = kFloat,
             .meaning = "between candidates; not longer than the search range",
             .fallback = "0.01",
             .legal = kPositive,
             .json = "activation_quant_params.search_step"},
            {.name = "max_percentile",
             .type = kFloat,
             .meaning = "share of the values below the range's end",
             .fallback = "0.999999",
             .legal = kPercentile,
             .json = "activation_quant_params.max_percentile"},
            {.name = "min_percentile",
             .type = kFloat,
             .meaning = "share of the values above the range's start",
             .fallback = "0.999999",
             .legal = kPercentile,
             .json = "activation_quant_params.min_percentile"},
            asymmetric,
            type}},
          {"HFMGQuantize",
           "Activations by search over a histogram",
           {{.name = "num_of_bins",
             .type = kUInt,
             .meaning = "of the histogram",
             .fallback = "4096",
             .legal = {.one_of = kBins},
             .json = "activation_quant_params.num_of_bins"},
            asymmetric,
            type}}};
}

std::vector<Message> other_messages() {
  return {
      {"DMQBalancer",
       "Activation balance, for layers with a weight that are not recurrent",
       {{.name = "migration_strength",
         .type = kFloat,
         .meaning = "how much is moved; smaller where an activation has more outliers",
         .fallback = "0.5",
         .legal = {.low = 0.2, .high = 0.8},
         .json = "dmq_balancer_param"}}},
      {"NuqConfig",
       "Layers with non-uniform weights",
       {{.name = "mapping_file", .type = kString, .meaning = "quant-info JSON that names the layers", .required = true},
        {.name = "nuq_quantize", .type = kMessage, .meaning = "settings of those layers", .message = "NUQuantize"}}},
      {"OverrideLayerType",
       "Settings of all layers of one operator",
       {{.name = "layer_type",
         .type = kString,
         .meaning = "the operator, as the model file calls it",
         .required = true},
        {.name = "calibration_config",
         .type = kMessage,
         .meaning = "the settings",
         .message = "CalibrationConfig",
         .required = true}}},
      {"OverrideLayer",
       "Settings of one layer",
       {{.name = "layer_name", .type = kString, .meaning = "layer key, as `amct inspect` shows it", .required = true},
        {.name = "calibration_config",
         .type = kMessage,
         .meaning = "the settings",
         .message = "CalibrationConfig",
         .required = true}}},
      {"TensorQuantize",
       "A tensor that is quantized besides the inputs of layers",
       {{.name = "layer_name",
         .type = kString,
         .meaning = "node that reads it",
         .required = true,
         .json = "layer_name"},
        {.name = "input_index",
         .type = kUInt,
         .meaning = "which input of the node",
         .legal = {.low = 0},
         .required = true,
         .json = "input_index"},
        {.name = "ifmr_quantize",
         .type = kMessage,
         .meaning = "range by search of the least loss",
         .message = "FMRQuantize",
         .choice = "activations"},
        {.name = "hfmg_quantize",
         .type = kMessage,
         .meaning = "range by search over a histogram",
         .message = "HFMGQuantize",
         .choice = "activations"}}}};
}

std::vector<Message> make_messages() {
  std::vector<Message> result{model_message(), calibration_message()};
  for (auto&& part : {weight_messages(), activation_messages(), other_messages()}) {
    result.insert(result.end(), part.begin(), part.end());
  }
  return result;
}

std::string type_name(const Field& field) {
  switch (field.type) {
    case kBool: return "bool";
    case kUInt: return "integer";
    case kFloat: return "number";
    case kString: return "string";
    case kEnum: return fmt::format("{}", fmt::join(field.names, " or "));
    case kMessage:
      return fmt::format("[{0}](#{1})", field.message, [&] {
        std::string anchor(field.message);
        std::ranges::transform(anchor, anchor.begin(), [](unsigned char c) { return std::tolower(c); });
        return anchor;
      }());
  }
  return {};
}

std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", text); }

}  // namespace

bool Legal::holds(double value) const {
  if (!one_of.empty()) return std::find(one_of.begin(), one_of.end(), value) != one_of.end();
  if (!std::isfinite(value)) return false;
  return (above_low ? value > low : value >= low) && (below_high ? value < high : value <= high);
}

std::string Legal::to_string() const {
  if (!one_of.empty()) return fmt::format("{}", fmt::join(one_of, ", "));
  const bool bounded_below = std::isfinite(low);
  const bool bounded_above = std::isfinite(high);
  if (bounded_below && bounded_above) {
    return fmt::format("{}{}, {}{}", above_low ? '(' : '[', low, high, below_high ? ')' : ']');
  }
  if (bounded_below) return fmt::format("{} {}", above_low ? ">" : ">=", low);
  return {};
}

std::string Legal::demand() const {
  const bool interval = one_of.empty() && std::isfinite(low) && std::isfinite(high);
  return (!one_of.empty() ? "one of " : interval ? "in " : "") + to_string();
}

const Field* Message::find(std::string_view wanted) const {
  const auto at = std::ranges::find(fields, wanted, &Field::name);
  return at == fields.end() ? nullptr : &*at;
}

const std::vector<Message>& messages() {
  static const std::vector<Message> table = make_messages();
  return table;
}

const Message& message(std::string_view name) {
  const auto at = std::ranges::find(messages(), name, &Message::name);
  AMCT_CHECK(at != messages().end(), fmt::format("no message {}", name));
  return *at;
}

const Field& field(std::string_view message_name, std::string_view name) {
  const Field* found = message(message_name).find(name);
  AMCT_CHECK(found != nullptr, fmt::format("no field {} of {}", name, message_name));
  return *found;
}

std::string options_markdown() {
  std::string text =
      "# Configuration files of AMCT\n\n"
      "`--config FILE` takes AMCT's simplified configuration (`.cfg`, protobuf text), its explicit JSON, and amct's "
      "own "
      "[plan](formats/plan.md); which one it is, the content tells. `amct config MODEL --from x.cfg --out x.json` "
      "writes the explicit form. Generated from the table that the readers use (`src/recipe/amct_config`); "
      "\"JSON\" is the key of the explicit form.\n";
  for (const Message& m : messages()) {
    text += fmt::format(
        "\n## {}\n\n{}.\n\n| field | type | default | legal | JSON | option | meaning "
        "|\n|---|---|---|---|---|---|---|\n",
        m.name, m.meaning);
    for (const Field& f : m.fields) {
      text += fmt::format("| `{}`{} | {}{} | {} | {} | {} | {} | {} |\n", f.name, f.required ? " (required)" : "",
                          f.repeated ? "list of " : "", type_name(f), code(f.fallback), f.legal.to_string(),
                          code(f.json), code(f.option), f.meaning);
    }
  }
  return text;
}

}  // namespace amct::config

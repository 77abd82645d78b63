#include "recipe/amct_config/cfg_file.h"

#include <fmt/core.h>

#include "recipe/amct_config/cfg_activation.h"
#include "recipe/amct_config/cfg_reader.h"
#include "recipe/text_proto.h"

namespace amct::config {
namespace {

using Document = CfgReader::Document;

CfgReader reader(Document& document, std::string_view name, const TextField& at) {
  return CfgReader(document, message(name), at.fields, &at);
}

ActivationSettings read_activation(Document& document, const CfgReader& owner) {
  const TextField* at = owner.chosen("activations");
  if (at == nullptr) return {};
  return at->name == "hfmg_quantize" ? read_hfmg(reader(document, "HFMGQuantize", *at))
                                     : read_ifmr(reader(document, "FMRQuantize", *at));
}

WeightSettings read_arq(Document& document, const TextField& at) {
  const CfgReader r = reader(document, "ARQuantize", at);
  return {.channel_wise = r.optional_flag("channel_wise"), .bits = static_cast<int>(r.integer("quant_bits"))};
}

WeightSettings read_adaround(Document& document, const TextField& at) {
  const CfgReader r = reader(document, "ADAquantize", at);
  WeightSettings result{.algorithm = WeightSettings::Algorithm::kAdaRound,
                        .channel_wise = r.optional_flag("channel_wise")};
  result.adaround = {r.integer("num_iteration"), r.number("reg_param"), r.number("beta_range_start"),
                     r.number("beta_range_end"), r.number("warm_start")};
  if (!(result.adaround.beta_start > result.adaround.beta_end)) {
    r.fault("beta_range_end", "beta_range_start must be above beta_range_end");
  }
  return result;
}

WeightSettings::Nuq read_nuq(Document& document, const TextField& at) {
  const CfgReader r = reader(document, "NUQuantize", at);
  return {static_cast<int>(r.integer("num_steps")), static_cast<int>(r.integer("num_of_iteration"))};
}

WeightSettings read_weight(Document& document, const CfgReader& owner) {
  const TextField* at = owner.chosen("weights");
  if (at == nullptr) return {};
  if (at->name == "ada_quantize") return read_adaround(document, *at);
  if (at->name == "arq_quantize") return read_arq(document, *at);
  return {.algorithm = WeightSettings::Algorithm::kNuq, .nuq = read_nuq(document, *at)};
}

CalibrationSettings read_calibration(Document& document, const TextField& at) {
  const CfgReader r = reader(document, "CalibrationConfig", at);
  CalibrationSettings result{read_weight(document, r), read_activation(document, r), {}};
  if (const TextField* balancer = r.last("dmq_balancer")) {
    result.migration_strength = reader(document, "DMQBalancer", *balancer).number("migration_strength");
  }
  return result;
}

std::vector<std::pair<Named, CalibrationSettings>> read_overrides(Document& document, const CfgReader& file,
                                                                  std::string_view list, std::string_view type,
                                                                  std::string_view key) {
  std::vector<std::pair<Named, CalibrationSettings>> result;
  for (const TextField* at : file.all(list)) {
    const CfgReader r = reader(document, type, *at);
    const TextField* name = r.last(key);
    const TextField* settings = r.last("calibration_config");
    if (name == nullptr || settings == nullptr) continue;
    for (const auto& [earlier, unused] : result) {
      if (earlier.name == name->value) document.fault(*name, fmt::format("'{}' stands twice in {}", name->value, list));
    }
    result.emplace_back(Named{name->value, name->line, name->column}, read_calibration(document, *settings));
  }
  return result;
}

std::vector<TensorSettings> read_tensors(Document& document, const CfgReader& file) {
  std::vector<TensorSettings> result;
  for (const TextField* at : file.all("tensor_quantize")) {
    const CfgReader r = reader(document, "TensorQuantize", *at);
    const TextField* name = r.last("layer_name");
    if (name == nullptr || r.last("input_index") == nullptr) continue;
    result.push_back({{name->value, name->line, name->column}, r.integer("input_index"), read_activation(document, r)});
  }
  return result;
}

std::optional<CalibrationSettings> read_optional(Document& document, const CfgReader& file, std::string_view name) {
  const TextField* at = file.last(name);
  if (at == nullptr) return std::nullopt;
  return read_calibration(document, *at);
}

void check_older_forms(Document& document, const CfgReader& file, const SimpleConfig& config) {
  for (const char* name : {"conv_calibration_config", "fc_calibration_config"}) {
    const TextField* at = file.last(name);
    if (at != nullptr && (config.common || !config.types.empty())) {
      document.fault(*at, fmt::format("{} holds only without common_config and override_layer_types", name),
                     "use override_layer_types for both");
    }
  }
  if (config.fc && config.fc->weight.channel_wise) {
    file.fault("fc_calibration_config", "fc_calibration_config may not set channel_wise",
               "these layers have one weight scale");
  }
}

}  // namespace

SimpleConfig parse_cfg(std::string_view text, const std::string& file) {
  const std::vector<TextField> fields = parse_text_proto(text, file);
  Document document{file, {}};
  const CfgReader r(document, messages().front(), fields, nullptr);
  SimpleConfig config;
  config.model = {r.last("batch_num") ? std::optional(r.integer("batch_num")) : std::nullopt,
                  r.flag("activation_offset"),
                  r.flag("joint_quant"),
                  r.flag("do_fusion"),
                  r.enumerator("fakequant_precision_mode") == 1,
                  r.names("skip_fusion_layers"),
                  read_tensors(document, r)};
  if (r.flag("weight_offset")) r.fault("weight_offset", "weight_offset must be false: weights are symmetric");
  config.skip_layers = r.names("skip_layers");
  config.skip_layer_types = r.names("skip_layer_types");
  config.skip_approximation_layers = r.names("skip_approximation_layers");
  config.common = read_optional(document, r, "common_config");
  config.conv = read_optional(document, r, "conv_calibration_config");
  config.fc = read_optional(document, r, "fc_calibration_config");
  config.types = read_overrides(document, r, "override_layer_types", "OverrideLayerType", "layer_type");
  config.layers = read_overrides(document, r, "override_layer_configs", "OverrideLayer", "layer_name");
  if (const TextField* at = r.last("nuq_config")) {
    const CfgReader nuq = reader(document, "NuqConfig", *at);
    config.nuq_mapping_file = nuq.text("mapping_file");
    if (const TextField* settings = nuq.last("nuq_quantize")) config.nuq = read_nuq(document, *settings);
  }
  check_older_forms(document, r, config);
  document.faults.throw_if_any();
  return config;
}

}  // namespace amct::config

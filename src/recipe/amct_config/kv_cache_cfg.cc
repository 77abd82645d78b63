#include "recipe/amct_config/kv_cache_cfg.h"

#include <fmt/core.h>

#include "recipe/amct_config/cfg_activation.h"
#include "recipe/amct_config/cfg_reader.h"
#include "recipe/text_proto.h"

namespace amct::config {
namespace {

using Document = CfgReader::Document;
using enum FieldType;

constexpr std::string_view kGranularities[] = {"per_tensor", "per_channel", "PER_TENSOR", "PER_CHANNEL"};

Message with_granularity(std::string_view name) {
  Message result = message(name);
  result.fields.push_back({.name = "quant_granularity",
                           .type = kEnum,
                           .meaning = "one factor for the tensor (0), or one for each index of its last axis (1)",
                           .fallback = "per_tensor",
                           .names = kGranularities,
                           .first_number = 0});
  return result;
}

std::vector<Message> make_messages() {
  return {
      {"AMCTQuantCaliConfig",
       "A whole file",
       {{.name = "batch_num",
         .type = kUInt,
         .meaning = "calibration batches of --batch samples",
         .legal = {.low = 0, .above_low = true}},
        {.name = "activation_offset",
         .type = kBool,
         .meaning = "factors have offsets where a layer's settings do not say",
         .fallback = "true"},
        {.name = "kv_cache_quant_config",
         .type = kMessage,
         .meaning = "the layers and their settings",
         .message = "KVCacheQuantConfig"},
        {.name = "override_layers_configs",
         .type = kMessage,
         .meaning = "settings of single layers",
         .message = "KVOverrideLayer",
         .repeated = true}}},
      {"KVCacheQuantConfig",
       "The layers and the settings that they share",
       {{.name = "quant_layers",
         .type = kString,
         .meaning = "layer whose output is cached: a Gemm or MatMul with a constant weight",
         .repeated = true},
        {.name = "calibration_config", .type = kMessage, .meaning = "settings", .message = "KVCalibrationConfig"}}},
      {"KVOverrideLayer",
       "Settings of one layer",
       {{.name = "layer_name", .type = kString, .meaning = "layer key, as `amct inspect` shows it", .required = true},
        {.name = "kv_data_quant_config",
         .type = kMessage,
         .meaning = "settings; they replace the shared ones as a whole",
         .message = "KVCalibrationConfig",
         .required = true}}},
      {"KVCalibrationConfig",
       "How a range is chosen",
       {{.name = "ifmr_quantize",
         .type = kMessage,
         .meaning = "by search of the least loss",
         .message = "FMRQuantize",
         .choice = "activations"},
        {.name = "hfmg_quantize",
         .type = kMessage,
         .meaning = "by search over a histogram",
         .message = "HFMGQuantize",
         .choice = "activations"}}},
      with_granularity("FMRQuantize"),
      with_granularity("HFMGQuantize"),
  };
}

const std::vector<Message>& kv_cache_messages() {
  static const std::vector<Message> table = make_messages();
  return table;
}

CfgReader reader(Document& document, std::string_view name, const TextField& at) {
  for (const Message& candidate : kv_cache_messages()) {
    if (candidate.name == name) return CfgReader(document, candidate, at.fields, &at);
  }
  internal_error("no such message");
}

KvCacheSettings read_settings(Document& document, const TextField& at) {
  const CfgReader owner = reader(document, "KVCalibrationConfig", at);
  const TextField* chosen = owner.chosen("activations");
  if (chosen == nullptr) return {};
  const bool hfmg = chosen->name == "hfmg_quantize";
  const CfgReader r = reader(document, hfmg ? "HFMGQuantize" : "FMRQuantize", *chosen);
  KvCacheSettings result{.activation = hfmg ? read_hfmg(r) : read_ifmr(r),
                         .per_channel = (r.enumerator("quant_granularity") - 1) % 2 == 1};
  if (result.activation.bits != 8) r.fault("dst_type", "dst_type must be INT8: a KV cache has 8 bits");
  return result;
}

void read_overrides(Document& document, const CfgReader& file, KvCacheConfig& config) {
  for (const TextField* at : file.all("override_layers_configs")) {
    const CfgReader r = reader(document, "KVOverrideLayer", *at);
    const TextField* name = r.last("layer_name");
    const TextField* settings = r.last("kv_data_quant_config");
    if (name == nullptr || settings == nullptr) continue;
    for (const auto& [earlier, unused] : config.overrides) {
      if (earlier.name != name->value) continue;
      document.fault(*name, fmt::format("'{}' stands twice in override_layers_configs", name->value));
    }
    config.overrides.emplace_back(Named{name->value, name->line, name->column}, read_settings(document, *settings));
  }
}

}  // namespace

KvCacheConfig parse_kv_cache_cfg(std::string_view text, const std::string& file) {
  const std::vector<TextField> fields = parse_text_proto(text, file);
  Document document{file, {}};
  const CfgReader r(document, kv_cache_messages().front(), fields, nullptr);
  KvCacheConfig config;
  if (r.last("batch_num") != nullptr) config.batch_num = r.integer("batch_num");
  config.activation_offset = r.flag("activation_offset");
  if (const TextField* at = r.last("kv_cache_quant_config")) {
    const CfgReader shared = reader(document, "KVCacheQuantConfig", *at);
    config.layers = shared.names("quant_layers");
    if (const TextField* settings = shared.last("calibration_config")) {
      config.common = read_settings(document, *settings);
    }
  }
  read_overrides(document, r, config);
  if (document.faults.empty() && config.layers.empty() && config.overrides.empty()) {
    document.faults.add(Error(ErrorCode::kConfig, "the configuration names no layer", {.file = file},
                              "list the layers of the K and V projections as quant_layers"));
  }
  document.faults.throw_if_any();
  return config;
}

}  // namespace amct::config

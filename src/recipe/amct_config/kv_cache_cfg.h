// The configuration of KV-cache calibration (spec B.5, AMCTQuantCaliConfig): which layers' outputs are cached, and how
// their ranges are chosen.
//
//   kv_cache_quant_config {
//     quant_layers: "k_proj"
//     quant_layers: "v_proj"
//     calibration_config { ifmr_quantize { quant_granularity: per_channel } }
//   }
//   override_layers_configs { layer_name: "v_proj" kv_data_quant_config { hfmg_quantize { } } }
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recipe/amct_config/option_table.h"
#include "recipe/amct_config/quant_config.h"

namespace amct::config {

struct KvCacheSettings {
  ActivationSettings activation;
  bool per_channel = false;  // one factor per index of the last axis
};

struct KvCacheConfig {
  std::optional<int64_t> batch_num;
  bool activation_offset = true;
  std::vector<Named> layers;
  KvCacheSettings common;
  std::vector<std::pair<Named, KvCacheSettings>> overrides;  // a layer that stands here alone is calibrated too
};

// Throws ErrorList of Error(kConfig) with all faults, each with its line and column in `file`.
KvCacheConfig parse_kv_cache_cfg(std::string_view text, const std::string& file);

}  // namespace amct::config

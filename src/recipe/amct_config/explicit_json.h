// The explicit configuration: JSON with the model's settings and, by name, every layer's (spec B.2). It is what
// `amct config` writes for editing and what AMCT's `create_quant_config` makes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "recipe/amct_config/quant_config.h"

namespace amct::config {

// Layers in their order; numbers as the shortest decimals that restore them.
std::string format_explicit(const ExplicitConfig& config);

// Throws ErrorList of Error(kConfig) with all faults: syntax, unknown fields (with the closest known one), wrong types,
// values out of range, settings of one algorithm beside those of another, repeated keys; with file, line and column.
// Whether the model has the layers is checked where the configuration is applied.
ExplicitConfig parse_explicit(std::string_view text, const std::string& file);

// The keys of the model's settings: no layer may have such a name.
const std::vector<std::string>& model_keys();

}  // namespace amct::config

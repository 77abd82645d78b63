// The simplified configuration: protobuf text (spec B.1).
#pragma once

#include <string>
#include <string_view>

#include "recipe/amct_config/quant_config.h"

namespace amct::config {

// Throws ErrorList of Error(kConfig) with all faults: syntax, unknown fields (with the closest known one), wrong types,
// values out of range, repeated list items; each with file, line and column.
SimpleConfig parse_cfg(std::string_view text, const std::string& file);

}  // namespace amct::config

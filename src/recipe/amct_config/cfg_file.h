// The simplified configuration: protobuf text (spec B.1), which says what holds for all layers, for operators and for
// layers by name. Read by the rows of option_table.h, which the documentation is made of too; quant_config.h has what
// comes out, and how it becomes the settings of a model's layers.
#pragma once

#include <string>
#include <string_view>

#include "recipe/amct_config/quant_config.h"

namespace amct::config {

// Throws ErrorList of Error(kConfig) with all faults: syntax, unknown fields (with the closest known one), wrong types,
// values out of range, repeated list items; each with file, line and column.
SimpleConfig parse_cfg(std::string_view text, const std::string& file);

}  // namespace amct::config

// By what a part of a calibration is known again: the model, the settings, the data.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/source.h"
#include "plan/plan.h"
#include "workflow/calibration_part.h"

namespace amct {

// Hash of the graph as it is read from the file, constants included. Reads the file again.
uint64_t model_hash(const std::filesystem::path& model);

// The settings of a plan before it is calibrated, one a line; `lines`: settings that are not in the plan. Tensors that
// are observed for the sake of some exported file are no setting.
std::string settings_text(const Plan& plan, const std::vector<std::string>& lines);

// Fills in what the data is known by. Reads its first and its last sample.
void identify_data(const DataSource& source, const std::vector<InputSpec>& inputs, const DataOptions& options,
                   CalibrationIdentity& identity);

}  // namespace amct

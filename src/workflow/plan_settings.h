// Starts from a plan that the user edited: its settings replace those of the model's own plan, its numbers only where
// it marks them as fixed (docs/formats/plan.md).
#pragma once

#include <filesystem>

#include "plan/plan.h"

namespace amct {

// Layers and tensors that the file does not name keep their settings in `plan`. A layer that cannot be quantized stays
// float, for its own reason, whatever the file says, with a warning. Throws ErrorList of Error(kConfig) with all faults
// of the file.
void apply_settings(const std::filesystem::path& file, Plan& plan);

}  // namespace amct

// Starts from a plan that the user edited: its settings replace those of the model's own plan, its numbers only where
// it marks them as fixed (docs/formats/plan.md).
#pragma once

#include <string>

#include "ir/graph.h"
#include "plan/plan.h"
#include "recipe/plan_json.h"

namespace amct {

// Layers and tensors that `read` does not name keep their settings in `plan`. A layer that cannot be quantized stays
// float, for its own reason, whatever the file says, with a warning. What a layer cannot have is downgraded: a line in
// `plan.downgrades`. Throws ErrorList of Error(kConfig) with all faults that only the model shows, placed in `file`.
void apply_settings(const PlanFile& read, const std::string& file, const Graph& graph, Plan& plan);

}  // namespace amct

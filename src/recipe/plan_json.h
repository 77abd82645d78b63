// The plan as JSON (docs/formats/plan.md): written in a stable order with the shortest decimals that restore each
// number, read strictly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace amct {

std::string format_plan(const Plan& plan);

// A plan and where its layers and tensors stand in the file, for faults that only the model can show.
struct PlanFile {
  Plan plan;
  std::vector<int> layer_lines;   // 1-based, one for each of plan.layers
  std::vector<int> tensor_lines;  // for each of plan.tensors
};

// Throws ErrorList of Error(kConfig) with all faults: syntax, unknown fields (with the closest known one), wrong types,
// values out of range, fields and layers that stand twice; each with file, line and column.
PlanFile parse_plan(std::string_view text, const std::string& file);

// Checks that the plan fits a model whose own plan is `expected` (as planning made it): every layer and tensor of
// `read` must be in it. Throws ErrorList of Error(kConfig) with all that are not, each with the closest known name.
void check_plan_fits(const PlanFile& read, const Plan& expected, const std::string& file);

}  // namespace amct

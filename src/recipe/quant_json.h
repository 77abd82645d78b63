// The `<prefix>_quant.json` file: which operators quantization put in, and which layer of the original model each
// quantized layer is, for comparing the two tensor by tensor (docs/formats/quant-json.md).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "plan/plan.h"

namespace amct {

// `deploy` is the graph that apply_ascend made of `plan`; `fused` lists, per layer key, the nodes of the original model
// that were folded into the layer.
std::string print_quant_json(const Graph& deploy, const Plan& plan,
                             const std::map<std::string, std::vector<std::string>>& fused = {});

}  // namespace amct
